#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""endpoint_oracle.py - where Debian's botocore finds our services: every service, every region that it knows, and some that it
does not, with and without FIPS and dual-stack

One line each: service, region, fips (0 or 1), dual-stack (0 or 1), host or "-" (it has none), the signature's region. STS is
asked in the region, as the AWS CLI v2 does.
"""
import botocore.endpoint_provider
import botocore.exceptions
import botocore.loaders

SERVICES = {'ssm': 'ssm', 'ec2': 'ec2', 'ec2_instance_connect': 'ec2-instance-connect', 'sts': 'sts', 'sso': 'sso',
            'sso_oidc': 'sso-oidc', 'route_53': 'route53', 'kms': 'kms'}
MADE_UP = ['eu-new-9', 'us-new-3', 'mars', 'cn-new-2', 'cn-new', 'us-gov-new-7', 'us-iso-new-1', 'us-isob-new-1', 'local1']

loader = botocore.loaders.Loader()
partitions = loader.load_data('partitions')
known = {region for data in (partitions, loader.load_data('endpoints')) for p in data['partitions'] for region in p['regions']}
for service, name in SERVICES.items():
    rules = loader.load_service_model(name, 'endpoint-rule-set-1')
    provider = botocore.endpoint_provider.EndpointProvider(ruleset_data=rules, partition_data=partitions)
    for region in sorted(known) + MADE_UP:
        for variant in range(4):
            fips, dual = bool(variant & 2), bool(variant & 1)
            asked = {'Region': region, 'UseFIPS': fips, 'UseDualStack': dual, 'UseGlobalEndpoint': False}
            asked = {k: v for k, v in asked.items() if k in rules['parameters']}
            try:
                answer = provider.resolve_endpoint(**asked)
            except botocore.exceptions.EndpointProviderError:
                host, sign = '-', region
            else:
                host = answer.url.removeprefix('https://').rstrip('/')
                sign = answer.properties.get('authSchemes', [{}])[0].get('signingRegion', region)
            print(service, region, int(fips), int(dual), host, sign)
