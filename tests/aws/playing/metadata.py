# SPDX-License-Identifier: MIT
"""What is asked over plain HTTP next door: the instance metadata service and the container credentials endpoint.

IMDS modes (world.imds["mode"]): "v2" (a token is needed), "both", "v1" (PUT is 405 as before 2019, GET needs no token), "off" (403 to
the PUT, as where metadata is disabled), "404" (the PUT is unknown; GET too). `role` None: no role is attached, 404.
`delay_ms` slows every answer. A container's endpoint is a path of its own in world.containers:
{path: {"token": what Authorization must be or None, "arn": role}}.
"""
import json
import secrets
import time

from .wire import Answer, meet_fault

TOKEN_PATH = "/latest/api/token"
ROLE_PATH = "/latest/meta-data/iam/security-credentials/"
TOKEN_TTL_MAX = 21600
HTML = "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><html><head><title>%d</title></head></html>"


def iso(at):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def standard():
    return {"mode": "v2", "role": "instance-role", "delay_ms": 0, "region": "us-east-1", "zone": "us-east-1a", "tokens": {},
            "instance_id": "i-0a1b2c3d4e5f60001", "arn": "arn:aws:sts::123456789012:assumed-role/instance-role/i-0a1b2c3d4e5f60001"}


def _plain(status, text=None, headers=()):
    return Answer(status, (HTML % status if text is None else text).encode(), "text/plain" if text is not None else "text/html", headers)


def _token(world, request):
    imds, ttl = world.imds, request.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
    refused = {"v1": 405, "off": 403, "404": 404}.get(imds["mode"])
    if refused or request.headers.get("X-Forwarded-For"):
        return _plain(refused or 403)
    if not ttl.isdigit() or not 1 <= int(ttl) <= TOKEN_TTL_MAX:
        return _plain(400)
    token = "AQAE" + secrets.token_urlsafe(39)
    imds["tokens"][token] = world.now() + int(ttl)
    return _plain(200, token, [("X-aws-ec2-metadata-token-ttl-seconds", ttl)])


def _document(world, path):
    imds = world.imds
    texts = {"/latest/meta-data/placement/region": imds["region"], "/latest/meta-data/placement/availability-zone": imds["zone"],
             "/latest/meta-data/placement/availability-zone/": imds["zone"], "/latest/meta-data/instance-id": imds["instance_id"],
             "/latest/dynamic/instance-identity/document": json.dumps({"region": imds["region"], "availabilityZone": imds["zone"],
                                                                       "instanceId": imds["instance_id"]})}
    if path in texts:
        return _plain(200, texts[path])
    if imds["role"] and path in (ROLE_PATH, ROLE_PATH.rstrip("/")):
        return _plain(200, imds["role"])
    if imds["role"] and path == ROLE_PATH + imds["role"]:
        c = world.issue("imds", imds["arn"], 6 * 3600)
        return _plain(200, json.dumps({"Code": "Success", "LastUpdated": iso(world.now()), "Type": "AWS-HMAC",
                                       "AccessKeyId": c.access_key, "SecretAccessKey": c.secret_key, "Token": c.token,
                                       "Expiration": iso(c.expires)}, indent=2))
    return _plain(404)


def imds(world, request):
    request.service, request.operation = "imds", "IMDS:" + ("token" if request.method == "PUT" else request.path)
    _, got = meet_fault(world, request)
    if got:
        return got
    with world.lock:
        delay = world.imds["delay_ms"]
    world.stopping.wait(delay / 1000)
    with world.lock:
        mode = world.imds["mode"]
        if request.method == "PUT":
            return _token(world, request) if request.path == TOKEN_PATH else _plain(405)
        if mode in ("off", "404"):
            return _plain(403 if mode == "off" else 404)
        given = request.headers.get("X-aws-ec2-metadata-token")
        if mode == "v2" or (mode == "both" and given is not None):
            if given is None or world.imds["tokens"].get(given, 0) <= world.now():
                return _plain(401)
        return _document(world, request.path)


def container(world, request):
    request.service, request.operation = "container", "Container:" + request.path
    _, got = meet_fault(world, request)
    if got:
        return got
    with world.lock:
        row = world.containers.get(request.path)
        if row is None:
            return Answer(404, b'{"code":"NoIdInRequest","message":"Credentials not found"}', "application/json")
        delay = row.get("delay_ms", 0)
    world.stopping.wait(delay / 1000)
    with world.lock:
        if row.get("token") is not None and request.headers.get("Authorization") != row["token"]:
            return Answer(403, b'{"code":"AccessDenied","message":"Authorization token is invalid"}', "application/json")
        c = world.issue("container", row.get("arn", "arn:aws:sts::123456789012:assumed-role/task-role/task"), 6 * 3600)
        body = {"AccessKeyId": c.access_key, "SecretAccessKey": c.secret_key, "Token": c.token, "Expiration": iso(c.expires),
                "RoleArn": "arn:aws:iam::123456789012:role/task-role"}
    return Answer(200, json.dumps(body).encode(), "application/json")
