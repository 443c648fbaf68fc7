# SPDX-License-Identifier: MIT
"""Who signed a request, and whether they could: signatures are made again by botocore, which shares no code with ours.

Theory of operation: the order of the checks is the services': form of the header, known key, session token, date, scope, signature.
Only the headers that the client says it signed go into the signature, but the ones that a service insists on must be among
them: host and every x-amz-*. The clock is the world's.
"""
import calendar
import hashlib
import hmac
import http.client
import re
import time

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .wire import ApiError

STAMP = "%Y%m%dT%H%M%SZ"
GLOBAL_REGION = {"route53": "us-east-1"}
SAID = {
    "expired": "The security token included in the request is expired",
    "unknown-key": "The security token included in the request is invalid.",
    "signature": "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
                 "and signing method. Consult the service documentation for details.",
}
SAID_EC2 = {
    "expired": "Request has expired.",
    "unknown-key": "AWS was not able to validate the provided access credentials",
}


class _Signer(SigV4Auth):
    def __init__(self, names, headers, *args):
        super().__init__(*args)
        self.names, self.given = names, headers

    def headers_to_sign(self, request):
        message = http.client.HTTPMessage()
        for name in self.names:
            for value in self.given.get_all(name, []):
                message.add_header(name, value)
        return message


def _fail(meaning, request, message=None):
    said = SAID_EC2.get(meaning) if request.service == "ec2" else None
    raise ApiError(meaning, message or said or SAID[meaning])


def _fields(request):
    text = request.headers.get("Authorization")
    if not text:
        raise ApiError("missing", "Missing Authentication Token")
    m = re.fullmatch(r"AWS4-HMAC-SHA256 +Credential=([^ ,]+) *, *SignedHeaders=([^ ,]+) *, *Signature=([0-9a-f]{64})", text)
    scope = m.group(1).split("/") if m else []
    if len(scope) != 5 or scope[4] != "aws4_request":
        raise ApiError("incomplete", "Authorization header requires 'Credential' parameter. Authorization header requires "
                                     "'Signature' parameter. Authorization header requires 'SignedHeaders' parameter.")
    return scope, m.group(2).split(";"), m.group(3)


def _check_date(world, request, scope):
    stamp = request.headers.get("X-Amz-Date", "")
    try:
        at = calendar.timegm(time.strptime(stamp, STAMP))
    except ValueError:
        raise ApiError("incomplete", "Date must be in ISO-8601 'basic format'. Got '%s'." % stamp) from None
    if scope[1] != stamp[:8]:
        _fail("signature", request, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                                    "'%s' != '%s'." % (scope[1], stamp[:8]))
    now, limit = world.now(), world.skew_max_s
    if abs(now - at) > limit:
        if request.service == "ec2":
            raise ApiError("skew", "Request has expired.")
        text = [time.strftime(STAMP, time.gmtime(t)) for t in (at, now - limit, now, now + limit)]
        if at < now:
            raise ApiError("skew", "Signature expired: %s is now earlier than %s (%s - 5 min.)" % tuple(text[:3]))
        raise ApiError("skew", "Signature not yet current: %s is still later than %s (%s + 5 min.)" % (text[0], text[3], text[2]))
    return stamp


def _check_scope(world, request, scope):
    region, service = scope[2], scope[3]
    if service != request.service:
        _fail("signature", request, "Credential should be scoped to correct service: '%s'." % request.service)
    wanted = GLOBAL_REGION.get(service)
    known = region == wanted if wanted else not world.regions or any(re.fullmatch(r, region) for r in world.regions)
    if not known:
        _fail("signature", request, "Credential should be scoped to a valid region.")


def verify(world, request):
    """Sets the request's principal. Raises ApiError, in the words of the request's service."""
    scope, names, signature = _fields(request)
    request.access_key, request.region, request.scope_service = scope[0], scope[2], scope[3]
    with world.lock:
        credential = world.credentials.get(scope[0])
    token = request.headers.get("X-Amz-Security-Token")
    if credential is None or not hmac.compare_digest((credential.token or "").encode(), (token or "").encode()):
        _fail("unknown-key", request)
    stamp = _check_date(world, request, scope)
    _check_scope(world, request, scope)
    needed = {"host"} | {n.lower() for n in request.headers.keys() if n.lower().startswith("x-amz-")}
    if not needed <= set(names):
        raise ApiError("signature", "'%s' must be a 'SignedHeader' in the AWS Authorization." % sorted(needed - set(names))[0])
    if names != sorted(names):
        _fail("signature", request)
    digest = request.headers.get("X-Amz-Content-SHA256")
    if digest and digest != hashlib.sha256(request.body).hexdigest():
        _fail("signature", request)
    again = AWSRequest(method=request.method, url="https://%s%s" % (request.headers.get("Host"), request.target), data=request.body)
    again.context["timestamp"] = stamp
    if digest:
        again.headers["X-Amz-Content-SHA256"] = digest
    signer = _Signer(names, request.headers, Credentials(credential.access_key, credential.secret_key), scope[3], scope[2])
    made = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    if not hmac.compare_digest(made, signature):
        _fail("signature", request)
    # Last, as at the services: only who proved the key learns that it has ended.
    if credential.expires is not None and credential.expires <= world.now():
        _fail("expired", request)
    request.principal = credential


def sign_again(url, body, headers, credentials, service, region):
    """The headers of a request of our own (ssm.py passes on what it was asked): a dict."""
    request = AWSRequest(method="POST", url=url, data=body, headers=headers)
    SigV4Auth(Credentials(*credentials), service, region).add_auth(request)
    return dict(request.headers.items())
