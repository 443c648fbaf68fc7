#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""proto_oracle.py - how botocore writes requests and reads answers: one JSON object a line, for aws_proto_test

{"write": OP, "params": …, "method", "path", "query": sorted [[name, value]…], "form" or "json": what the body says, "type", "target"}
{"read": OP, "body": TEXT, "answer": …}: made up from the model of the answer; botocore reads the same values out of it
{"error": OP, "status", "type_header", "body": TEXT, "code", "message", "request_id"}
The numbers are always the same.
"""
import base64
import datetime
import json
import random
import sys
import urllib.parse
from xml.sax.saxutils import escape

import botocore.parsers
import botocore.serialize
import botocore.session

OPERATIONS = {
    'ssm': ['StartSession', 'ResumeSession', 'TerminateSession', 'DescribeInstanceInformation', 'GetConnectionStatus', 'DescribeSessions'],
    'ec2': ['DescribeInstances', 'DescribeVpcs', 'DescribeSubnets', 'DescribeRouteTables', 'DescribeVpcPeeringConnections',
            'DescribeManagedPrefixLists', 'GetManagedPrefixListEntries'],
    'ec2-instance-connect': ['SendSSHPublicKey'],
    'sts': ['AssumeRole', 'AssumeRoleWithWebIdentity', 'GetCallerIdentity'],
    'sso': ['GetRoleCredentials'],
    'sso-oidc': ['CreateToken', 'RegisterClient', 'StartDeviceAuthorization'],
    'route53': ['ListHostedZonesByVPC'],
    'kms': ['GenerateDataKey'],
}
NOT_ASKED = {'accessToken', 'Recipient'}  # goes as a header by aws_as; never given
TEXTS = ['a', '', 'i-0123456789abcdef0', 'tag:Name', 'a b+c/d?e=f&g%h', 'grün €', '*', "~-._'()!", 'x' * 300, 'arn:aws:iam::1:role/r']
DEPTH_MAX = 7
rng = random.Random(20150830)


# ---- requests

def params_of(shape, every, depth=0):
    kind = shape.type_name
    if kind == 'structure':
        names = [n for n in shape.members if n not in NOT_ASKED]
        return {n: params_of(shape.members[n], every, depth + 1) for n in names
                if every or n in shape.required_members or rng.random() < 0.4}
    if kind == 'list':
        return [params_of(shape.member, every, depth + 1) for _ in range(rng.randrange(1, 4) if every else rng.randrange(0, 3))]
    if kind == 'map':
        return {rng.choice(TEXTS[2:7]): params_of(shape.value, every, depth + 1) for _ in range(2)}
    if kind in ('integer', 'long'):
        return rng.choice([0, 1, 5, 3600, -1])
    if kind == 'boolean':
        return rng.random() < 0.5
    return rng.choice(TEXTS)


def write_case(model, operation, params):
    serializer = botocore.serialize.create_serializer(model.metadata['protocol'], include_validation=False)
    r = serializer.serialize_to_request(dict(params), operation)
    query = urllib.parse.urlencode(r['query_string'], quote_via=urllib.parse.quote) if r['query_string'] else ''
    case = {'write': operation.name, 'params': params, 'method': r['method'], 'path': r['url_path'],
            'query': sorted(urllib.parse.parse_qsl(query, keep_blank_values=True)),
            'type': r['headers'].get('Content-Type', ''), 'target': r['headers'].get('X-Amz-Target', '')}
    if isinstance(r['body'], dict):
        case['form'] = sorted([k, 'true' if v is True else 'false' if v is False else str(v)] for k, v in r['body'].items())
    elif r['body']:
        case['json'] = json.loads(r['body'])
    return case


# ---- answers

def value_of(shape, depth=0):
    """Made up, as a client sees it."""
    kind = shape.type_name
    if kind == 'structure':
        return {n: value_of(m, depth + 1) for n, m in shape.members.items() if depth < DEPTH_MAX and rng.random() < 0.6}
    if kind == 'list':
        return [value_of(shape.member, depth + 1) for _ in range(rng.randrange(0, 3))]
    if kind == 'map':
        return {rng.choice(TEXTS[2:7]): value_of(shape.value, depth + 1)}
    if kind in ('integer', 'long'):
        return rng.randrange(0, 1 << 31)
    if kind in ('double', 'float'):
        return rng.randrange(0, 100) / 4
    if kind == 'boolean':
        return rng.random() < 0.5
    if kind == 'timestamp':
        return datetime.datetime.fromtimestamp(rng.randrange(1, 1 << 31), datetime.timezone.utc)
    if kind == 'blob':
        return bytes(rng.randrange(256) for _ in range(rng.randrange(20)))
    return rng.choice(TEXTS[:1] + TEXTS[2:] + ['<&>"\'', 'a\nb'])


def plain(value):
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, datetime.datetime):
        return value.strftime('%Y-%m-%dT%H:%M:%S.000Z')
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


def xml_of(shape, value, name):
    """(text, what aws_proto_read() must make of it)"""
    if shape.type_name == 'structure':
        parts = [(m.serialization.get('name', n), xml_of(m, value[n], m.serialization.get('name', n)))
                 for n, m in shape.members.items() if n in value]
        inner, ours = ''.join(p[1][0] for p in parts), {n: p[1] for n, p in parts}
    elif shape.type_name == 'list':
        item = shape.member.serialization.get('name', 'member')
        parts = [xml_of(shape.member, v, item) for v in value]
        inner, ours = '\n '.join(p[0] for p in parts), [p[1] for p in parts]
    else:
        inner, ours = escape(plain(value)), plain(value)
    return '<%s>%s</%s>' % (name, inner, name), ours or ''


def json_of(shape, value):
    if shape.type_name == 'structure':
        return {m.serialization.get('name', n): json_of(m, value[n]) for n, m in shape.members.items() if n in value}
    if shape.type_name == 'list':
        return [json_of(shape.member, v) for v in value]
    if shape.type_name == 'map':
        return {k: json_of(shape.value, v) for k, v in value.items()}
    if isinstance(value, datetime.datetime):
        return int(value.timestamp())
    return plain(value) if isinstance(value, bytes) else value


def body_of(model, operation, value):
    shape, protocol = operation.output_shape, model.metadata['protocol']
    if protocol in ('json', 'rest-json'):
        ours = json_of(shape, value)
        return json.dumps(ours), ours
    name = operation.name + ('Result' if protocol == 'query' else 'Response')
    text, ours = xml_of(shape, value, name)
    if protocol == 'query':
        text = '<%sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">%s<ResponseMetadata><RequestId>r</RequestId>' \
               '</ResponseMetadata></%sResponse>' % (operation.name, text, operation.name)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + text, ours


def read_case(model, operation):
    value = value_of(operation.output_shape)
    body, ours = body_of(model, operation, value)
    parser = botocore.parsers.create_parser(model.metadata['protocol'])
    seen = parser.parse({'status_code': 200, 'headers': {}, 'body': body.encode()}, operation.output_shape)
    seen.pop('ResponseMetadata')
    if cleaned(seen) != cleaned(value):
        sys.exit('botocore does not read what %s was made from: %s' % (operation.name, body))
    if not isinstance(ours, dict):
        return None  # an answer without a member has nothing to be read
    return {'read': operation.name, 'body': body, 'answer': ours}


def cleaned(value):
    """Without what is empty: botocore leaves it out or not by the kind of its parent."""
    if isinstance(value, dict):
        return {k: cleaned(v) for k, v in value.items() if v not in ({}, [], None) and cleaned(v) not in ({}, [])}
    return [cleaned(v) for v in value if cleaned(v) not in ({}, [])] if isinstance(value, list) else value


# ---- errors

ERRORS = [
    ('StartSession', 400, '', '{"__type":"TargetNotConnected","message":"i-1 is not connected."}'),
    ('StartSession', 400, '', '{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}'),
    ('StartSession', 500, '', '{"__type":"InternalServerError"}'),
    ('GenerateDataKey', 400, '', '{"__type":"NotFoundException","message":"Alias arn:aws:kms:x is not found."}'),
    ('SendSSHPublicKey', 400, '', '{"__type":"EC2InstanceNotFoundException","Message":"Instance not found"}'),
    ('GetRoleCredentials', 401, 'UnauthorizedException:http://internal.amazon.com/', '{"message":"Session token not found or invalid"}'),
    ('GetRoleCredentials', 403, 'ForbiddenException', '{"message":"No access"}'),
    ('GetRoleCredentials', 429, 'TooManyRequestsException', '{}'),
    ('AssumeRole', 403, '', '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>AccessDenied'
     '</Code><Message>User: arn:aws:iam::1:user/u is not authorized to perform: sts:AssumeRole</Message></Error>'
     '<RequestId>11111111-2222</RequestId></ErrorResponse>'),
    ('DescribeInstances', 403, '', '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>UnauthorizedOperation</Code>'
     '<Message>You are not authorized to perform this operation.</Message></Error></Errors><RequestID>33333333-4444</RequestID>'
     '</Response>'),
    ('DescribeVpcs', 400, '', '<Response><Errors><Error><Code>InvalidVpcID.NotFound</Code><Message>The vpc ID \'vpc-1\' does not exist'
     '</Message></Error></Errors><RequestID>5</RequestID></Response>'),
    ('ListHostedZonesByVPC', 400, '', '<?xml version="1.0"?>\n<ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Error>'
     '<Type>Sender</Type><Code>InvalidPaginationToken</Code><Message>bad</Message></Error><RequestId>6</RequestId></ErrorResponse>'),
]


def error_case(models, name, status, type_header, body):
    model, operation = models[name]
    parser = botocore.parsers.create_parser(model.metadata['protocol'])
    headers = {'x-amzn-errortype': type_header} if type_header else {}
    seen = parser.parse({'status_code': status, 'headers': headers, 'body': body.encode()}, operation.output_shape)
    return {'error': name, 'status': status, 'type_header': type_header, 'body': body, 'code': seen['Error'].get('Code', ''),
            'message': seen['Error'].get('Message', ''), 'request_id': seen['ResponseMetadata'].get('RequestId', '')}


def main():
    session = botocore.session.get_session()
    models = {}
    for service, names in OPERATIONS.items():
        model = session.get_service_model(service)
        for name in names:
            operation = model.operation_model(name)
            models[name] = model, operation
            for i in range(12):
                params = params_of(operation.input_shape, i == 0) if operation.input_shape else {}
                print(json.dumps(write_case(model, operation, params)))
            for _ in range(8):
                case = read_case(model, operation)
                if case:
                    print(json.dumps(case))
    for error in ERRORS:
        print(json.dumps(error_case(models, *error)))


if __name__ == '__main__':
    main()
