#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes requests signed by botocore as a JSON list, for sigv4_verify_test.c.

    tests/unit/gateway/sign_requests.py COUNT SEED > tests/unit/gateway/signed_requests.json
"""
import base64
import calendar
import json
import random
import string
import sys
import time
import urllib.parse

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

WORD = string.ascii_letters + string.digits
ODD = WORD + "-._~ !$'()*,;:@%äß/"


def text(dice, alphabet, low, high):
    return "".join(dice.choice(alphabet) for _ in range(dice.randint(low, high)))


def path(dice):
    if dice.random() < 0.4:
        return "/"
    parts = [urllib.parse.quote(text(dice, ODD, 1, 12), safe="") for _ in range(dice.randint(1, 4))]
    parts = [dice.choice(["..", ".", "", p]) if dice.random() < 0.15 else p for p in parts]
    return "/" + "/".join(parts) + dice.choice(["", "/"])


def query(dice):
    pairs = [(text(dice, WORD, 1, 6), text(dice, ODD, 0, 10)) for _ in range(dice.choice([0, 0, 1, 3, 5]))]
    return "&".join("%s=%s" % (k, urllib.parse.quote(v, safe="")) for k, v in pairs)


def one(dice):
    access, secret = "AKIA" + text(dice, string.ascii_uppercase + "234567", 16, 16), text(dice, WORD + "+/", 40, 40)
    method = dice.choice(["POST", "POST", "GET", "PUT", "DELETE"])
    body = text(dice, ODD, 0, 300).encode() if method in ("POST", "PUT") else b""
    p, q = path(dice), query(dice)
    request = AWSRequest(method, "https://gw.example:8443" + p + ("?" + q if q else ""), data=body)
    if method == "POST":
        request.headers["Content-Type"] = "application/x-amz-json-1.1"
        request.headers["X-Amz-Target"] = "AmazonSSM." + text(dice, WORD, 4, 20)
    for _ in range(dice.randint(0, 3)):
        request.headers["X-Amz-" + text(dice, WORD, 3, 9)] = " a   " + text(dice, WORD + " ", 1, 20) + "  "
    service, region = dice.choice(["ssm", "ec2-instance-connect", "sts"]), dice.choice(["eu-west-1", "us-gov-east-1"])
    SigV4Auth(Credentials(access, secret), service, region).add_auth(request)
    headers = {k.lower(): v for k, v in request.headers.items()}
    headers.setdefault("host", "gw.example:8443")
    at = time.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
    return {"method": method, "path": p, "query": q, "headers": headers, "body": base64.b64encode(body).decode(),
            "access_key": access, "secret": secret, "unix": calendar.timegm(at), "service": service, "region": region}


def main():
    dice = random.Random(int(sys.argv[2]))
    json.dump([one(dice) for _ in range(int(sys.argv[1]))], sys.stdout, indent=1)
    print()


main()
