# SPDX-License-Identifier: MIT
"""The play of AWS (tests/aws) in a lab: it stands where AWS would, and passes what SSM is asked on to the lab's own gateway.

alice has an AWS home of her own (~/.aws) whose profiles name the play as endpoint; her upstream's target is an instance id that the play
maps to the lab's host. So a tunnel is really up only if every step of the credential chain was right.
"""
import configparser
import hashlib
import json
import os
import sys

from lab import LINK_C, ROOT, UID, Skip, check
from netns import wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "aws"))
from driver import Play  # noqa: E402

INSTANCE = "i-0a1b2c3d4e5f60001"
ACCOUNT = "123456789012"
START_URL = "https://d-1234567890.awsapps.com/start"
REGION = "us-east-1"
REAL = [name % REGION for name in ("ssm.%s.amazonaws.com", "sts.%s.amazonaws.com", "ec2.%s.amazonaws.com", "oidc.%s.amazonaws.com",
                                   "portal.sso.%s.amazonaws.com", "ec2-instance-connect.%s.amazonaws.com")]
CLI = "/usr/bin/aws"


def role(name):
    return "arn:aws:iam::%s:role/%s" % (ACCOUNT, name)


class Played:
    """`real`: the play stands behind the real host names of REAL, as /etc/hosts of the lab says; then no profile names an endpoint."""

    def __init__(self, lab, *argv, real=False):
        self.lab, self.real = lab, real
        if real:
            with open("/etc/hosts", "a") as f:
                f.write("\n%s %s\n" % (LINK_C, " ".join(REAL)))
            argv += tuple(a for name in REAL for a in ("--names", name))
        # Its folder goes with the lab, however that ends.
        self.play = Play("--listen", "%s:%d" % (LINK_C, 443 if real else 0), "--plain", "127.0.0.1:0", *argv,
                         env=dict(os.environ, TMPDIR=ROOT + "/tmp"))
        self.do, self.url = self.play.do, self.play.url
        # One bundle for both: the play's CA for the API, the gateway's for the WebSocket.
        self.ca = lab.home + "/ca.pem"
        with open(self.ca, "w") as f:
            for path in (self.play.ca, lab.ca):
                with open(path) as one:
                    f.write(one.read())
        os.chmod(self.ca, 0o644)
        self.do("set", ssm={"gateway": {"url": "https://%s:%d/" % (LINK_C, lab.gateway_ports["control"]), "ca": lab.ca,
                                        "access_key": lab.access_key, "secret_key": lab.secret_key},
                            "targets": {INSTANCE: lab.host_id}})
        self.aws = lab.home + "/.aws"
        self.folder(self.aws)

    @staticmethod
    def folder(path, mode=0o700):
        os.makedirs(path, exist_ok=True)
        os.chown(path, UID, UID)
        os.chmod(path, mode)

    def profiles(self, config, credentials=None):
        """Writes ~/.aws/config and credentials from dicts {section: {key: value}}; profiles get region, CA, and the play's endpoint."""
        common = {"region": REGION, "ca_bundle": self.ca, **({} if self.real else {"endpoint_url": self.url})}
        for name, sections in (("config", {k: {**({} if k.startswith("sso-session") else common), **v} for k, v in config.items()}),
                               ("credentials", credentials or {})):
            parser = configparser.RawConfigParser(default_section="\0")
            parser.read_dict(sections)
            path = "%s/%s" % (self.aws, name)
            with open(path, "w") as f:
                parser.write(f)
            os.chown(path, UID, UID)
            os.chmod(path, 0o600)

    def keys(self, **more):
        """alice's long-lived keys, as a section of the credentials file."""
        return {"aws_access_key_id": self.play.access_key, "aws_secret_access_key": self.play.secret_key, **more}

    def upstream(self, profile, **aws):
        changes = {"access_key": None, "secret_key": None, "region": None, "endpoint_url": None, "ca_bundle": None, "profile": profile}
        return self.lab.upstream(instances=[INSTANCE], aws={**changes, **aws})

    def config(self, profile, **aws):
        return self.lab.config(upstream=self.upstream(profile, **aws))

    def sso_profile(self, name="sso", **more):
        """A profile of an sso-session, as `aws configure sso` makes it."""
        return {"sso-session corp": {"sso_start_url": START_URL, "sso_region": REGION, "sso_registration_scopes": "sso:account:access"},
                "profile " + name: {"sso_session": "corp", "sso_account_id": "210987654321", "sso_role_name": "Reader", **more}}

    def token_file(self, name="corp"):
        return "%s/sso/cache/%s.json" % (self.aws, hashlib.sha1(name.encode()).hexdigest())

    def write_token(self, name="corp", life_s=28800, **changes):
        """The token cache as a login leaves it, with a token that the play knows. Returns what was written."""
        given = self.do("sso_token", life_s=life_s)
        token = {"startUrl": START_URL, "region": REGION, "accessToken": given["accessToken"], "expiresAt": given["expiresAt"],
                 "clientId": given["clientId"], "clientSecret": given["clientSecret"],
                 "registrationExpiresAt": given["registrationExpiresAt"], "refreshToken": given["refreshToken"], **changes}
        for path in (self.aws + "/sso", self.aws + "/sso/cache"):
            self.folder(path)
        self.lab.write(self.token_file(name), json.dumps(token))
        return token

    def cli(self, *argv, status=0, **kwargs):
        """Debian's AWS CLI (2.9) as alice; its answer."""
        if not os.path.exists(CLI):
            raise Skip("there is no " + CLI)
        env = {"HOME": self.lab.home, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "AWS_CA_BUNDLE": self.ca, "AWS_PAGER": "",
               "AWS_EC2_METADATA_DISABLED": "true"}
        r = self.lab.run(CLI, *argv, env=env, user=UID, **kwargs)
        check(r.status == status, "aws %s: status %d: %s" % (" ".join(argv), r.status, r.text[-600:]))
        return r.text

    def wait_rows(self, operation, n, since, timeout):
        got = self.play.wait(operation, n, since, timeout)
        check(got >= n, "%s was asked %d times, not %d, within %s s: %s" % (
            operation, got, n, timeout, [(r["operation"], r["status"], r["error"]) for r in self.play.rows(since=since)][-20:]))

    def sessions_by(self):
        """By whose keys sessions were started: the sources of the journal's StartSessions."""
        return [r["source"] for r in self.play.rows("StartSession") if r["status"] == 200]


def start(lab, real=False):
    """Far side and play; what most scenarios about AWS start with."""
    lab.start_far_side()
    return Played(lab, real=real)


def upstream_row(lab):
    return lab.status()["upstreams"][0]


def wait_state(lab, state, timeout):
    return wait_until(lambda: upstream_row(lab)["state"] == state, timeout, "the upstream is " + state)
