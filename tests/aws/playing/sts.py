# SPDX-License-Identifier: MIT
"""STS: AssumeRole, AssumeRoleWithWebIdentity, GetCallerIdentity (query protocol).

A role is {"arn", "trust": [patterns of principals' ARNs], "external_id", "mfa": true, "max_s", "web": provider}; the codes that an MFA
device shows are in world.mfa, each good once unless it is "*". A session made with MFA may assume roles that want it (as
one made by GetSessionToken would).
"""
import fnmatch
import re
import time

from .wire import ApiError
from .world import LIFE_MAX_S

ROLE_ARN = r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+"


def iso(at):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def _constraint(name, value, text):
    raise ApiError("invalid", "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must %s" % (
        value, name, text))


def _duration(request, role, chained):
    text = request.params.get("DurationSeconds", "3600")
    s = int(text) if text.isdigit() else _constraint("durationSeconds", text, "be a number")
    if s < 900:
        _constraint("durationSeconds", s, "have value greater than or equal to 900")
    if s > LIFE_MAX_S:
        _constraint("durationSeconds", s, "have value less than or equal to %d" % LIFE_MAX_S)
    if chained and s > 3600:
        raise ApiError("invalid", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
    if s > role.get("max_s", 3600):
        raise ApiError("invalid", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    return s


def _names(request):
    arn, name = request.need("RoleArn", "RoleSessionName")
    if not re.fullmatch(ROLE_ARN, arn):
        raise ApiError("invalid", "%s is invalid" % arn)
    if not re.fullmatch(r"[\w+=,.@-]{2,64}", name):
        _constraint("roleSessionName", name, "satisfy regular expression pattern: [\\w+=,.@-]*")
    return arn, name


def _session_arn(role_arn, name):
    partition, account, path = role_arn.split(":")[1], role_arn.split(":")[4], role_arn.split(":role/")[1]
    return "arn:%s:sts::%s:assumed-role/%s/%s" % (partition, account, path.rsplit("/", 1)[-1], name)


def _given(world, request, source, role_arn, name, seconds, mfa):
    c = world.issue(source, _session_arn(role_arn, name), seconds, mfa)
    return {"Credentials": {"AccessKeyId": c.access_key, "SecretAccessKey": c.secret_key, "SessionToken": c.token,
                            "Expiration": iso(c.expires)},
            "AssumedRoleUser": {"AssumedRoleId": c.user_id, "Arn": c.arn}}


def _mfa_passed(world, request):
    """Whether a device's code came with the request; an error if it is wrong."""
    serial, code = request.params.get("SerialNumber"), request.params.get("TokenCode")
    if serial is None and code is None:
        return request.principal.mfa
    codes = world.mfa.get(serial, [])
    if code not in codes and "*" not in codes:
        raise ApiError("denied", "MultiFactorAuthentication failed with invalid MFA one time pass code. ")
    if code in codes:
        codes.remove(code)
    return True


def assume_role(world, request):
    arn, name = _names(request)
    with world.lock:
        role = world.roles.get(arn)
        mfa = _mfa_passed(world, request)
        if (role is None or "web" in role or (role.get("mfa") and not mfa) or
                not any(fnmatch.fnmatchcase(request.principal.arn, p) for p in role.get("trust", ["*"])) or
                (role.get("external_id") and role["external_id"] != request.params.get("ExternalId"))):
            raise ApiError("denied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s" % (
                request.principal.arn, arn))
        return _given(world, request, "AssumeRole", arn, name, _duration(request, role, request.principal.source == "AssumeRole"), mfa)


def assume_role_with_web_identity(world, request):
    arn, name = _names(request)
    text = request.need("WebIdentityToken")
    with world.lock:
        token, role = world.web_tokens.get(text), world.roles.get(arn)
        if token is None:
            raise ApiError("InvalidIdentityToken", "The ID Token provided is not a valid JWT. (You may see this error if you sent "
                                                   "an Access Token)")
        if token["expires"] is not None and token["expires"] <= world.now():
            raise ApiError("ExpiredTokenException", "Token expired: current date/time %d must be before the expiration date/time %d"
                           % (world.now(), token["expires"]))
        if role is None or role.get("web") != token["provider"]:
            raise ApiError("denied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        given = _given(world, request, "AssumeRoleWithWebIdentity", arn, name, _duration(request, role, False), False)
    return {**given, "SubjectFromWebIdentityToken": token["subject"], "Provider": token["provider"], "Audience": "sts.amazonaws.com"}


def get_caller_identity(world, request):
    p = request.principal
    return {"Arn": p.arn, "UserId": p.user_id, "Account": p.account}


OPERATIONS = {"AssumeRole": assume_role, "AssumeRoleWithWebIdentity": assume_role_with_web_identity,
              "GetCallerIdentity": get_caller_identity}
UNSIGNED = {"AssumeRoleWithWebIdentity"}
