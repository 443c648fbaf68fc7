# SPDX-License-Identifier: MIT
"""Logging in by ourselves, MFA, and the caches that we share with the AWS CLI: Debian's is the other side of each."""
import datetime
import json
import os
import re
import shutil
import stat

from lab import UID, check
from played import ACCOUNT, REGION, START_URL, role, start
from scenarios import scenario
from scenarios.aws import hello

MFA = "arn:aws:iam::%s:mfa/alice" % ACCOUNT


def private(path):
    st = os.stat(path)
    return st.st_uid == UID and stat.S_IMODE(st.st_mode) == (0o700 if os.path.isdir(path) else 0o600)


def up_and_down(lab, config):
    lab.up(config)
    hello(lab)()
    lab.down()
    check(lab.daemon.wait() == 0, "up ended with %s" % lab.daemon.popen.returncode)


def login(lab, profile, decide, timeout=30):
    """`ssm-tun login PROFILE` as alice, and what a person does in the browser with the code that it shows."""
    env = {k: v for k, v in lab.user_env.items() if not k.startswith("SUDO")}
    p = lab.spawn("login", ["ssm-tun", "login", profile], env=dict(env, HOME=lab.home), user=UID)
    code = p.wait_text(r"\b[B-Z]{4}-[B-Z]{4}\b", timeout).group(0)
    check("https://device.sso.us-east-1.amazonaws.com/" in p.text, "no address is shown: %s" % p.text)
    check(p.running(), "it did not wait for the person")
    check(decide(code), "%s is no code that waits" % code)
    p.wait(timeout)
    return p


def forget_results(played):
    """What roles gave is kept by the CLI and by us; without it the token is needed again."""
    shutil.rmtree(played.aws + "/cli", ignore_errors=True)


def check_token(played, path, name):
    with open(path) as f:
        token = json.load(f)
    want = {"startUrl", "region", "accessToken", "expiresAt", "clientId", "clientSecret", "registrationExpiresAt"}
    check(want <= set(token), "%s: the cache lacks %s" % (name, want - set(token)))
    check((token["startUrl"], token["region"]) == (START_URL, REGION), "%s: %s %s" % (name, token["startUrl"], token["region"]))
    end = datetime.datetime.strptime(token["expiresAt"], "%Y-%m-%dT%H:%M:%SZ")
    left = (end - datetime.datetime.utcnow()).total_seconds()
    check(28000 < left < 28801, "%s: expiresAt is in %d s" % (name, left))
    check(private(path) and private(os.path.dirname(path)), "%s: others may read the cache" % name)
    return token


@scenario("aws-login", seconds=10)
def aws_login(lab):
    """`ssm-tun login` for an sso-session and for an old SSO profile; our cache serves the AWS CLI, its own serves us; refresh; a refusal."""
    played = start(lab, real=True)
    old = {"sso_start_url": START_URL, "sso_region": REGION, "sso_account_id": "210987654321", "sso_role_name": "Reader"}
    played.profiles({**played.sso_profile(), "profile old": old, "profile none": {}})
    played.do("set", sso={"interval_s": 1})

    def approve(code):
        return played.do("approve", user_code=code)["found"]
    p = login(lab, "sso", lambda code: played.do("refuse", user_code=code)["found"])
    check(p.popen.returncode == 1 and not os.path.exists(played.token_file()), "a refusal: %s %s" % (p.popen.returncode, p.text))
    for profile, name in (("sso", "corp"), ("old", START_URL)):
        p = login(lab, profile, approve)
        check(p.popen.returncode == 0, "login %s: %s" % (profile, p.text))
        token = check_token(played, played.token_file(name), profile)
        check(("refreshToken" in token) == (profile == "sso"), "%s: a refresh token is for sso-sessions" % profile)
        check(not [s for s in (token["accessToken"], token["clientSecret"]) if s in p.text], "login prints a secret")
        who = played.cli("sts", "get-caller-identity", "--profile", profile)
        check("AWSReservedSSO_Reader" in who, "the AWS CLI with our token: %s" % who)
        up_and_down(lab, played.config(profile))
    names = [r["params"].get("scopes") for r in played.play.rows("RegisterClient")]
    check(["sso:account:access"] in names, "no client was registered with the profile's scopes: %s" % names)
    # The token has ended, the refresh token has not: nobody is asked, and what came is written back.
    had = played.write_token(life_s=-60)
    forget_results(played)
    since = played.play.serial()
    up_and_down(lab, played.config("sso"))
    token = check_token(played, played.token_file(), "refreshed")
    check(token["accessToken"] != had["accessToken"] and token["refreshToken"] != had["refreshToken"], "it was not written back")
    grants = [r["params"]["grantType"] for r in played.play.rows("CreateToken", since)]
    check(grants == ["refresh_token"], "CreateToken: %s" % grants)
    played.cli("sts", "get-caller-identity", "--profile", "sso")
    # One that the CLI made.
    os.unlink(played.token_file())
    played.do("set", sso={"auto_approve": True})
    played.cli("sso", "login", "--profile", "sso", "--no-browser")
    forget_results(played)
    up_and_down(lab, played.config("sso"))
    r = lab.run("ssm-tun", "login", "none", env=dict(lab.env, HOME=lab.home), user=UID)
    check(r.status == 1 and "none" in r.text, "login of a profile without anything: %d %s" % (r.status, r.text))


# ---- MFA

def code_prompt(p, keyboard, code):
    """Waits for the question and answers it."""
    p.wait_text(r"MFA code for %s" % re.escape(MFA), 20)
    os.write(keyboard, code.encode() + b"\n")


def cache_files(played):
    folder = played.aws + "/cli/cache"
    return sorted(os.path.join(folder, n) for n in os.listdir(folder)) if os.path.isdir(folder) else []


def assumed(played, since):
    return [r["error"] for r in played.play.rows("AssumeRole", since)]


@scenario("aws-mfa")
def aws_mfa(lab):
    """A role that wants MFA: asked once on the terminal; the result is shared with the AWS CLI through ~/.aws/cli/cache, both ways."""
    played = start(lab, real=True)
    played.profiles({"profile m": {"role_arn": role("mfa"), "source_profile": "base", "mfa_serial": MFA}, "profile base": {}},
                    {"base": played.keys()})
    played.do("role", arn=role("mfa"), mfa=True)
    played.do("set", mfa={MFA: ["135791", "246802", "975318"]})
    config = played.config("m")
    # Without a terminal there is nobody to ask.
    p = lab.up(config, wait=False)
    check(p.wait(20) == 1 and MFA in p.text, "without a terminal: status %s: %s" % (p.popen.returncode, p.text[-400:]))
    path = lab.write_config(config)
    lab.daemon, keyboard = lab.spawn_on_terminal("up", ["ssm-tun", "up", "-c", path], env=lab.user_env)
    code_prompt(lab.daemon, keyboard, "135791")
    lab.daemon.wait_text(r"\bup: 1 of 1 upstreams", 20)
    check("135791" not in lab.daemon.text, "the code is shown on the terminal")
    hello(lab)()
    lab.down()
    lab.daemon.wait()
    files = cache_files(played)
    check(len(files) == 1 and private(files[0]) and private(os.path.dirname(files[0])), "the cache: %s" % files)
    with open(files[0]) as f:
        cached = json.load(f)
    check(set(cached["Credentials"]) >= {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}, "the cache: %s" % sorted(cached))
    # From now on nobody is asked: not us, not the CLI.
    since = played.play.serial()
    up_and_down(lab, config)
    who = played.cli("sts", "get-caller-identity", "--profile", "m", timeout=30)
    check("assumed-role/mfa/" in who and assumed(played, since) == [], "AssumeRole again: %s" % assumed(played, since))
    check(cache_files(played) == files, "another file: %s" % cache_files(played))
    # The other way round: the CLI asks, writes, and we read.
    os.unlink(files[0])
    env = {"HOME": lab.home, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "AWS_CA_BUNDLE": played.ca, "AWS_PAGER": ""}
    p, keyboard = lab.spawn_on_terminal("aws", ["/usr/bin/aws", "sts", "get-caller-identity", "--profile", "m"], env=env, user=UID)
    code_prompt(p, keyboard, "246802")
    check(p.wait(30) == 0 and cache_files(played) == files, "the CLI's cache: %s %s" % (cache_files(played), p.text[-400:]))
    since = played.play.serial()
    up_and_down(lab, config)
    check(assumed(played, since) == [], "what the CLI left was not used: %s" % assumed(played, since))
    # A wrong code: nothing of it is kept, the question comes again.
    os.unlink(files[0])
    lab.daemon, keyboard = lab.spawn_on_terminal("up", ["ssm-tun", "up", "-c", path], env=lab.user_env)
    since = played.play.serial()
    code_prompt(lab.daemon, keyboard, "000000")
    lab.daemon.wait_text(r"(?s)MFA code for .*MFA code for ", 20)
    check(assumed(played, since) == ["AccessDenied"] and cache_files(played) == [], "a wrong code: %s, kept: %s" % (
        assumed(played, since), cache_files(played)))
    os.write(keyboard, b"975318\n")
    lab.daemon.wait_text(r"\bup: 1 of 1 upstreams", 20)
    lab.down()
    check(lab.daemon.wait() == 0, "up ended with %s" % lab.daemon.popen.returncode)
