# SPDX-License-Identifier: MIT
"""SSM: answered here, or passed on to a real ssm-tun-gateway, so that the sessions that are started carry data.

Theory of operation: with world.ssm["gateway"] = {"url", "ca", "access_key", "secret_key"} a request that is good here (signature,
permissions, faults) is signed again with the gateway's key and its answer handed back as it is. `targets` maps EC2's instance ids to
the gateway's host ids in questions, and back in answers. Without a gateway the play keeps sessions of its own: their stream URL is
`stream_url` with the session's id; nobody needs to answer there.
"""
import base64
import http.client
import json
import re
import secrets
import ssl
import urllib.parse

from . import sign
from .ec2 import page
from .wire import Answer, ApiError

TIMEOUT_S = 30


def _renamed(value, names):
    if isinstance(value, dict):
        return {k: _renamed(v, names) for k, v in value.items()}
    if isinstance(value, list):
        return [_renamed(v, names) for v in value]
    return names.get(value, value) if isinstance(value, str) else value


def pass_on(world, request):
    with world.lock:
        gateway, targets = dict(world.ssm["gateway"]), dict(world.ssm.get("targets", {}))
    body = json.dumps(_renamed(request.params, targets)).encode()
    at = urllib.parse.urlsplit(gateway["url"])
    headers = sign.sign_again(gateway["url"], body, {"Content-Type": "application/x-amz-json-1.1",
                                                     "X-Amz-Target": "AmazonSSM." + request.operation},
                              (gateway["access_key"], gateway["secret_key"]), "ssm", request.region)
    far = http.client.HTTPSConnection(at.hostname, at.port or 443, timeout=TIMEOUT_S,
                                      context=ssl.create_default_context(cafile=gateway["ca"]))
    try:
        far.request("POST", at.path or "/", body, headers)
        got = far.getresponse()
        data = got.read()
    except OSError as e:
        raise ApiError("fault", "the gateway behind this play: %s" % e) from None
    finally:
        far.close()
    if got.status == 200:
        answer = _renamed(json.loads(data), {v: k for k, v in targets.items()})
        override = world.ssm.get("stream_url")
        if override and answer.get("StreamUrl"):  # what a PrivateLink name is tested with
            url = urllib.parse.urlsplit(answer["StreamUrl"])
            answer["StreamUrl"] = override + url.path + ("?" + url.query if url.query else "")
        data = json.dumps(answer).encode()
    keep = [(k, v) for k, v in got.getheaders() if k.lower() in ("x-amzn-requestid", "x-amzn-errortype")]
    return Answer(got.status, data, "application/x-amz-json-1.1", keep)


def _token():
    return base64.b64encode(secrets.token_bytes(300)).decode()


def _stream(world, ident):
    base = world.ssm.get("stream_url") or "wss://ssmmessages.us-east-1.amazonaws.com"
    return "%s/v1/data-channel/%s?role=publish_subscribe&cell-number=AAEAA+/=" % (base, ident)


def _connected(world, target):
    info = next((i for i in world.ssm["instances"] if i["InstanceId"] == target), None)
    return info is not None and info["PingStatus"] == "Online"


def start_session(world, request):
    target, document = request.need("Target"), request.params.get("DocumentName", "SSM-SessionManagerRunShell")
    parameters = request.params.get("Parameters", {})
    if not isinstance(parameters, dict) or not all(isinstance(v, list) for v in parameters.values()):
        raise ApiError("SerializationException", "Start of list expected")
    with world.lock:
        if document not in world.ssm["documents"]:
            raise ApiError("InvalidDocument", "Document with name %s does not exist." % document)
        if not _connected(world, target):
            raise ApiError("TargetNotConnected", "%s is not connected." % target)
        ident = "%s-%s" % (request.principal.arn.rsplit("/", 1)[-1], secrets.token_hex(9)[1:])
        world.ssm["sessions"][ident] = {"SessionId": ident, "Target": target, "Status": "Connected", "StartDate": int(world.now()),
                                        "DocumentName": document, "Owner": request.principal.arn,
                                        "Reason": request.params.get("Reason")}
        return {"SessionId": ident, "TokenValue": _token(), "StreamUrl": _stream(world, ident)}


def resume_session(world, request):
    ident = request.need("SessionId")
    with world.lock:
        session = world.ssm["sessions"].get(ident)
        if session is None:
            raise ApiError("DoesNotExistException", "Session %s does not exist" % ident)
        if session["Status"] != "Connected":
            return {"SessionId": ident, "TokenValue": None, "StreamUrl": None}
        return {"SessionId": ident, "TokenValue": _token(), "StreamUrl": _stream(world, ident)}


def terminate_session(world, request):
    ident = request.need("SessionId")
    with world.lock:
        session = world.ssm["sessions"].get(ident)
        if session and session["Status"] == "Connected":
            session.update(Status="Terminated", EndDate=int(world.now()))
    return {"SessionId": ident}


def get_connection_status(world, request):
    target = request.need("Target")
    with world.lock:
        return {"Target": target, "Status": "connected" if _connected(world, target) else "notconnected"}


def _page(request, rows, low, high):
    request.params = {k: str(v) if k == "MaxResults" else v for k, v in request.params.items()}
    try:
        return page(request, rows, (low, high))
    except ApiError as e:
        raise ApiError("InvalidNextToken" if "token" in e.message else "ValidationException", e.message) from None


def describe_instance_information(world, request):
    readers = {"InstanceIds": "InstanceId", "PingStatus": "PingStatus", "PlatformTypes": "PlatformType", "AgentVersion": "AgentVersion",
               "ResourceType": "ResourceType"}
    filters = [(f.get("Key"), f.get("Values", [])) for f in request.params.get("Filters", [])]
    filters += [(f.get("key"), f.get("valueSet", [])) for f in request.params.get("InstanceInformationFilterList", [])]
    with world.lock:
        rows, request.page_max = list(world.ssm["instances"]), world.ec2.get("page_max", 0)
        named = {r["instanceId"]: {"tag:" + t["key"]: t["value"] for t in r["tagSet"]} for r in world.ec2["instances"]}
    for key, values in filters:
        if key in readers:
            rows = [r for r in rows if r.get(readers[key]) in values]
        elif re.match(r"tag:", key or ""):
            rows = [r for r in rows if named.get(r["InstanceId"], {}).get(key) in values]
        else:
            raise ApiError("InvalidFilterKey", "The specified key is not valid: %s" % key)
    rows, token = _page(request, rows, 5, 50)
    return {"InstanceInformationList": rows, **({"NextToken": token} if token else {})}


def describe_sessions(world, request):
    state = request.need("State")
    if state not in ("Active", "History"):
        raise ApiError("ValidationException", "1 validation error detected: Value '%s' at 'state'" % state)
    readers = {"Target": "Target", "Owner": "Owner", "Status": "Status", "SessionId": "SessionId"}
    with world.lock:
        rows = [{k: v for k, v in s.items() if v is not None} for s in world.ssm["sessions"].values()
                if (s["Status"] == "Connected") == (state == "Active")]
        request.page_max = world.ec2.get("page_max", 0)
    for f in request.params.get("Filters", []):
        if f.get("key") not in readers:
            raise ApiError("InvalidFilterKey", "The specified key is not valid: %s" % f.get("key"))
        rows = [r for r in rows if r.get(readers[f["key"]]) == f.get("value")]
    rows, token = _page(request, rows, 1, 200)
    return {"Sessions": rows, **({"NextToken": token} if token else {})}


def standard(now):
    return {"gateway": None, "targets": {}, "stream_url": None, "sessions": {},
            "documents": ["AWS-StartSSHSession", "AWS-StartPortForwardingSession", "AWS-StartPortForwardingSessionToRemoteHost",
                          "SSM-SessionManagerRunShell"],
            "instances": [{"InstanceId": "i-0a1b2c3d4e5f60001", "PingStatus": "Online", "LastPingDateTime": now - 30,
                           "AgentVersion": "3.3.0.0", "IsLatestVersion": True, "PlatformType": "Linux", "ResourceType": "EC2Instance",
                           "IPAddress": "10.77.0.10", "ComputerName": "bastion"}]}


_own = {"StartSession": start_session, "ResumeSession": resume_session, "TerminateSession": terminate_session,
        "GetConnectionStatus": get_connection_status, "DescribeInstanceInformation": describe_instance_information,
        "DescribeSessions": describe_sessions}


def _one(world, request):
    return (pass_on if world.ssm["gateway"] else _own[request.operation])(world, request)


OPERATIONS = {name: _one for name in _own}
