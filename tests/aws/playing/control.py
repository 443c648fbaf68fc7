# SPDX-License-Identifier: MIT
"""The control interface: POST /_play on a loopback port of its own, one JSON object in, one out. See README.md for the verbs.

Theory of operation: a verb is a function of (world, its arguments as keywords); what it returns is the answer, a ValueError, KeyError
or TypeError is a 400 with its text: a test that asks wrongly learns so. `wait` blocks until the journal holds what is waited for, so
that no test need sleep.
"""
import secrets
import time

from . import ec2
from .server import json_answer
from .wire import ApiError
from .world import Fault

WAIT_MAX_S = 600
SETTABLE = {"offset_s": float, "skew_max_s": float, "regions": list, "life_s": dict, "deny": list, "zones": list, "kms_keys": dict,
            "mfa": dict, "connect": dict}


def verb_set(world, **values):
    """Settings of the world itself; dicts of services are merged into: imds, ssm, ec2, sso, connect."""
    for name, value in values.items():
        if name in ("imds", "ssm", "ec2"):
            unknown = set(value) - set(getattr(world, name)) - {"page_max"}
            if unknown:
                raise ValueError("%s has no %s" % (name, ", ".join(sorted(unknown))))
            getattr(world, name).update(value)
        elif name == "sso":
            for key, v in value.items():
                if not hasattr(world.sso, key):
                    raise ValueError("sso has no %s" % key)
                setattr(world.sso, key, v)
        elif name in SETTABLE:
            setattr(world, name, SETTABLE[name](value))
        else:
            raise ValueError("nothing is called %s" % name)
    return {}


def verb_user(world, name="alice", account="123456789012", access_key=None, secret_key=None):
    c = world.user_add("arn:aws:iam::%s:user/%s" % (account, name), access_key, secret_key)
    return {"access_key": c.access_key, "secret_key": c.secret_key, "arn": c.arn}


def verb_issue(world, source="test", arn="arn:aws:sts::123456789012:assumed-role/test/test", life_s=3600, mfa=False):
    c = world.issue(source, arn, life_s, mfa)
    return {"access_key": c.access_key, "secret_key": c.secret_key, "token": c.token, "expires": c.expires}


def verb_expire(world, source="*"):
    return {"expired": world.expire(source)}


def verb_role(world, arn, **role):
    unknown = set(role) - {"trust", "external_id", "mfa", "max_s", "web"}
    if unknown:
        raise ValueError("a role has no %s" % ", ".join(sorted(unknown)))
    world.roles[arn] = role
    return {}


def verb_web_token(world, provider, subject="system:serviceaccount:default:app", life_s=None, token=None):
    token = token or "eyJhbGciOi." + secrets.token_urlsafe(200) + "." + secrets.token_urlsafe(60)
    world.web_tokens[token] = {"provider": provider, "subject": subject, "expires": None if life_s is None else world.now() + life_s}
    return {"token": token}


def verb_sso_token(world, life_s=28800):
    """An access token as a login would have made, and its client, for a cache file that a test writes."""
    client_id = secrets.token_urlsafe(18)
    world.sso.clients[client_id] = {"secret": "eyJ" + secrets.token_urlsafe(200), "expires": world.now() + 86400, "name": "test",
                                    "scopes": ["sso:account:access"]}
    given = world.sso.token_new(world, client_id, True)
    world.sso.tokens[given["accessToken"]]["expires"] = world.now() + life_s
    return {**given, "expiresAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(world.now() + life_s)), "clientId": client_id,
            "clientSecret": world.sso.clients[client_id]["secret"],
            "registrationExpiresAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(world.now() + 86400))}


def verb_sso_revoke(world):
    """Every access token and refresh token ends now, as after a logout elsewhere."""
    world.sso.tokens.clear()
    world.sso.refresh.clear()
    return {}


def verb_approve(world, user_code=None):
    return {"found": world.sso.decide(user_code, True)}


def verb_refuse(world, user_code=None):
    return {"found": world.sso.decide(user_code, False)}


def verb_container(world, path, **row):
    unknown = set(row) - {"token", "arn", "delay_ms"}
    if unknown:
        raise ValueError("a container has no %s" % ", ".join(sorted(unknown)))
    world.containers[path] = row
    return {}


def verb_instance(world, id, online=None, remove=False, **more):
    """Adds or replaces an EC2 instance; `online` True or False: SSM knows it, too."""
    world.ec2["instances"] = [r for r in world.ec2["instances"] if r["instanceId"] != id]
    world.ssm["instances"] = [r for r in world.ssm["instances"] if r["InstanceId"] != id]
    if remove:
        return {}
    row = ec2.instance(id, **more)
    world.ec2["instances"].append(row)
    if online is not None:
        world.ssm["instances"].append({
            "InstanceId": id, "PingStatus": "Online" if online else "ConnectionLost", "AgentVersion": "3.3.0.0", "IsLatestVersion": True,
            "LastPingDateTime": int(world.now()) - (30 if online else 7200), "PlatformType": "Linux", "ResourceType": "EC2Instance",
            "IPAddress": row["privateIpAddress"], "ComputerName": row["privateDnsName"]})
    return {"instance": row}


def verb_fault(world, **spec):
    world.faults.append(Fault(spec))
    return {}


def verb_clear(world):
    """No fault and nothing denied any more, the journal is empty."""
    world.faults.clear()
    world.journal.clear()
    world.deny = []
    return {"serial": world.serial}


def verb_reset(world):
    """The world as it was at the start; the first user's keys stay."""
    world.reset()
    return {"serial": world.serial}


def verb_journal(world, operation="*", since=0):
    return {"rows": world.rows(operation, since), "serial": world.serial}


def verb_count(world, operation="*", since=0):
    return {"count": len(world.rows(operation, since)), "serial": world.serial}


def verb_secrets(world):
    return {"secrets": world.secrets()}


def verb_world(world):
    """What is there: accounts' keys without their secrets, roles, devices that wait."""
    return {"now": world.now(), "serial": world.serial, "roles": world.roles,
            "credentials": [{"access_key": c.access_key, "arn": c.arn, "source": c.source, "expires": c.expires}
                            for c in world.credentials.values()],
            "devices": [{k: d[k] for k in ("user_code", "approved", "interval", "expires", "used")} for d in world.sso.devices.values()],
            "sessions": list(world.ssm["sessions"].values()), "ec2": world.ec2}


def verb_wait(world, operation="*", n=1, since=0, timeout_s=30):
    """Blocks until n requests of the operation came after serial `since`. Takes the lock itself."""
    return {"count": world.wait(operation, n, since, min(timeout_s, WAIT_MAX_S))}


VERBS = {name[len("verb_"):]: fn for name, fn in list(globals().items()) if name.startswith("verb_")}


def control(world, request):
    if request.method != "POST" or request.path != "/_play":
        return json_answer(404, {"error": "POST /_play"})
    try:
        asked = dict(request.json())
        verb = asked.pop("do")
        fn = VERBS[verb]
    except (ApiError, KeyError) as e:
        return json_answer(400, {"error": "no verb: %s; there are %s" % (e, " ".join(sorted(VERBS)))})
    try:
        if fn is verb_wait:
            return json_answer(200, fn(world, **asked))
        with world.lock:
            return json_answer(200, fn(world, **asked))
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        return json_answer(400, {"error": "%s: %s: %s" % (verb, type(e).__name__, e)})
