#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""cache_oracle.py - botocore as the other reader and writer of ~/.aws/cli/cache, for aws_cache_test

names SEED: lines "compact sha1 json", the names that botocore gives random arguments.
load PROFILE URL CODE TIMES: the access key that botocore has for a profile of $HOME, by the cache or from the STS at URL; CODE is what
the person types, TIMES how the AWS CLI writes times: botocore (its default), wire (v1), iso8601 (v2).
"""
import hashlib
import json
import os
import random
import sys

import botocore.session
from botocore.utils import JSONFileCache, parse_timestamp

TIMES = {"wire": lambda text: text, "iso8601": lambda text: parse_timestamp(text).isoformat()}


def names(seed):
    rng = random.Random(seed)
    alphabet = [chr(c) for c in range(1, 0x80)] + list("äß€😀\u2028\ud7ff\ue000\uffff\U0010ffff/")
    for _ in range(400):
        args = {"".join(rng.choices(alphabet, k=rng.randrange(1, 12))): "".join(rng.choices(alphabet, k=rng.randrange(40)))
                for _ in range(rng.randrange(5))}
        if rng.random() < 0.5:
            args["DurationSeconds"] = rng.randrange(-5, 43200)
        for compact in (False, True):
            text = json.dumps(args, sort_keys=True, **({"separators": (",", ":")} if compact else {}))
            print("%d %s %s" % (compact, hashlib.sha1(text.encode()).hexdigest(), json.dumps(args)))


def load(profile, url, code, times):
    session = botocore.session.Session(profile=profile)
    if times in TIMES:
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=TIMES[times])
    resolver = session.get_component("credential_provider")

    def client(service, **more):
        more["region_name"] = "us-east-1"
        return session.create_client(service, endpoint_url=url, **more)

    for name in ("assume-role", "assume-role-with-web-identity"):
        provider = resolver.get_provider(name)
        provider.cache = JSONFileCache(os.path.expanduser("~/.aws/cli/cache"))
        provider._client_creator = client
    resolver.get_provider("assume-role")._prompter = lambda _: code
    print(session.get_credentials().get_frozen_credentials().access_key)


{"names": names, "load": load}[sys.argv[1]](*sys.argv[2:])
