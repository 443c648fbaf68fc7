# SPDX-License-Identifier: MIT
"""No secret gets out: not into a log at any level, not into a status, not into argv or a child's environment, not into a core.

One daemon with an upstream for each source of credentials, so that one run handles a secret of every kind. What the play issued
meanwhile is looked for, too: it knows all of it.
"""
import json
import os
import signal

import netns
from lab import ROOT, UID, check
from netns import wait_until
from played import Played, role
from scenarios import scenario
from scenarios.aws_proxy import IN_URL, PASSWORD, Proxy

PLANTED = {"AWS_ACCESS_KEY_ID": "AKIAPLANTEDPLANTED00", "AWS_SECRET_ACCESS_KEY": "planted+secret/key+of+the+environment",
           "AWS_SESSION_TOKEN": "planted-session-token-of-the-environment",
           "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Bearer planted-container-token"}
# upstream and profile: what the play calls the source of its keys
SOURCES = {"given": "given", "shared": "user", "config": "config", "process": "process", "sso": "GetRoleCredentials",
           "role": "AssumeRole", "web": "AssumeRoleWithWebIdentity", "container": "AssumeRole"}


def process_script(lab, played):
    """A credential_process that says what it was given: its environment, argv and open descriptors. Returns (command, report)."""
    keys, report = played.do("issue", source="process"), ROOT + "/tmp/child-report"
    answer = {"Version": 1, "AccessKeyId": keys["access_key"], "SecretAccessKey": keys["secret_key"], "SessionToken": keys["token"]}
    secret = lab.write(lab.home + "/process-answer.json", json.dumps(answer))
    script = lab.write(lab.home + "/give-keys", "#!/bin/sh\ntr '\\0' '\\n' </proc/$$/environ >%s\ntr '\\0' '\\n' </proc/$$/cmdline >>%s\n"
                       "ls -l /proc/$$/fd >>%s\nexec cat %s\n" % (report, report, report, secret), mode=0o700)
    return script, report


def sources(lab, played):
    """~/.aws with a profile for each source; what it takes at the play. Returns {source: the aws part of its upstream}."""
    command, report = process_script(lab, played)
    token = played.do("web_token", provider="oidc.example")["token"]
    web = lab.write(lab.home + "/web-token", token)
    config_keys = played.do("issue", source="config")
    played.do("role", arn=role("app"), external_id="planted-external-id")
    played.do("role", arn=role("web"), web="oidc.example")
    played.do("role", arn=role("task"))
    played.do("container", path="/v2/credentials/e2e", token=PLANTED["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
    played.profiles({
        "profile shared": {}, "profile process": {"credential_process": command}, **played.sso_profile(),
        "profile config": {"aws_access_key_id": config_keys["access_key"], "aws_secret_access_key": config_keys["secret_key"],
                           "aws_session_token": config_keys["token"]},
        "profile role": {"role_arn": role("app"), "source_profile": "shared", "external_id": "planted-external-id"},
        "profile web": {"role_arn": role("web"), "web_identity_token_file": web},
        "profile container": {"role_arn": role("task"), "credential_source": "EcsContainer"}}, {"shared": played.keys()})
    played.write_token()
    given = played.do("issue", source="given")
    rows = {name: {"profile": name} for name in SOURCES}
    rows["given"] = {"profile": None, "access_key": given["access_key"], "secret_key": given["secret_key"],
                     "session_token": given["token"], "region": "us-east-1", "endpoint_url": played.url, "ca_bundle": played.ca}
    return rows, report


def ours():
    """{pid: name} of every process of ours that lives."""
    return netns.processes("ssm-tun")


def read_proc(pid, name):
    with open("/proc/%d/%s" % (pid, name), "rb") as f:
        return f.read().decode(errors="replace")


def log_files(lab):
    files = [p.log_path for p in lab.procs if p.name.startswith("up")]
    for d, _, names in os.walk(lab.home + "/.local/state"):
        files += [os.path.join(d, n) for n in names]
    return files


def look_for(secrets, where, text):
    found = [s for s in secrets if s in text]
    if found:
        at = text.index(found[0])
        line = text[text.rfind("\n", 0, at) + 1:at]
        check(False, "%s holds a secret (%d in all), behind: %s" % (where, len(found), line[-200:]))


def closed_to_its_owner(lab, pid, name):
    """Its memory and environment are closed to other programs of the same user."""
    for file in ("mem", "environ"):
        r = lab.run("dd", "if=/proc/%d/%s" % (pid, file), "of=/dev/null", "bs=1", "count=1", user=UID)
        check(r.status != 0 and "Permission denied" in r.err, "%s of %s (%d) can be opened by its user: %s" % (file, name, pid, r.err))


def check_no_core(lab, cwd):
    """A crash of any of ours leaves no core in `cwd`, where one of another program of the same user does."""
    env = dict(lab.env, HOME=lab.home)
    plain = lab.spawn("crash", ["sh", "-c", "ulimit -c unlimited && exec sleep 1000"], env=env, user=UID, cwd=cwd)
    wait_until(lambda: "sleep" in os.readlink("/proc/%d/exe" % plain.pid) or "coreutils" in os.readlink("/proc/%d/exe" % plain.pid),
               5, "sleep runs")
    plain.send(signal.SIGSEGV)
    plain.wait()
    shown = bool(os.listdir(cwd))
    for name in os.listdir(cwd):
        os.unlink(os.path.join(cwd, name))
    victims = ours()
    for pid in sorted(victims, key=lambda p: p == lab.daemon.pid):  # the keeper restores the host and goes, last comes the first
        try:
            os.kill(pid, signal.SIGSEGV)
        except ProcessLookupError:
            pass
    wait_until(lambda: not ours(), 10, "all of ours have ended: %s" % ours())
    left = os.listdir(cwd)
    check(not left, "a core: %s" % left)
    lab.note("core: %s" % ("none of ours, one of another program" if shown else "none, but this machine makes none at all"))


@scenario("aws-secrets")
def aws_secrets(lab):
    """Secrets of every source, of results and of the proxy: in no log, status, argv, child's environment, memory file or core."""
    lab.start_far_side()
    played = Played(lab)
    rows, report = sources(lab, played)
    ids = ["i-0a1b2c3d4e5f6100%d" % i for i in range(len(SOURCES))]
    played.do("set", ssm={"targets": {ident: lab.host_id for ident in ids}})
    upstreams = {s: lab.upstream(instances=[ident], aws={"access_key": None, "secret_key": None, "region": None, "endpoint_url": None,
                                                         "ca_bundle": None, **rows[s]}) for s, ident in zip(SOURCES, ids)}
    routes = [{"match": "10.%d.0.0/16" % (100 + i), "upstream": s} for i, s in enumerate(SOURCES)]
    path = lab.write_config({"upstreams": upstreams, "routes": routes})
    proxy, cwd = Proxy(lab), ROOT + "/tmp/cwd"
    os.mkdir(cwd)
    os.chmod(cwd, 0o777)
    env = dict(lab.user_env, **PLANTED, HTTPS_PROXY=proxy.url(), NO_PROXY="127.0.0.1",
               AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:%d/v2/credentials/e2e" % played.play.container)
    lab.daemon = lab.spawn("up", ["sh", "-c", "ulimit -c unlimited && exec ssm-tun up -vv -c " + path], env=env, cwd=cwd)
    lab.daemon.wait_text(r"\bup: %d of %d upstreams" % (len(SOURCES), len(SOURCES)), 60)
    by = sorted({r["source"] for r in played.play.rows("StartSession") if r["status"] == 200})
    check(by == sorted(set(SOURCES.values())), "sessions were started with keys of %s" % by)
    check(len(proxy.carried()) > len(SOURCES), "the proxy carried only %s" % proxy.carried())

    from_caller = {v for k, v in PLANTED.items() if k != "AWS_ACCESS_KEY_ID"} | {
        proxy.url(), PASSWORD, IN_URL, "planted-container-token"}

    def secrets():
        return set(played.do("secrets")["secrets"]) | from_caller | {lab.secret_key}
    known = secrets()
    check(len(known) > 20, "only %d secrets: nothing is shown" % len(known))
    for name, argv in (("status", ("status",)), ("status --json", ("status", "--json")), ("config show", ("config", "show", "-c", path)),
                       ("check", ("check", "-c", path))):
        look_for(known, name, lab.tun(*argv, env=env).text)
    with open(report) as f:
        child = f.read()
    check("PATH=" in child and "give-keys" in child, "no environment or argv of credential_process: %s" % child[:200])
    look_for(known, "the environment of credential_process", child)
    # `ssm-tun login` runs it, too, in a process of its own; as alice herself, whose own environment is in the background.
    os.unlink(report)
    r = lab.run("ssm-tun", "login", "-vv", "process", env={**lab.env, **PLANTED, "HOME": lab.home, "HTTPS_PROXY": proxy.url()}, user=UID)
    check(r.status == 0 and "needs no login" in r.out, "login process: %d %s" % (r.status, r.text[-400:]))
    look_for(known, "the output of login", r.text)
    with open(report) as f:
        child = f.read()
    check("PATH=" in child and "give-keys" in child, "login: no environment or argv of credential_process: %s" % child[:200])
    look_for(known, "the environment of credential_process of login", child)
    living = ours()
    check(len(living) >= 3, "processes: %s" % living)
    for pid, name in living.items():
        look_for(known, "argv of " + name, read_proc(pid, "cmdline"))
        look_for(known - from_caller, "the environment of " + name, read_proc(pid, "environ"))
        closed_to_its_owner(lab, pid, name)
    lab.down()
    check(lab.daemon.wait() == 0, "up ended with %s" % lab.daemon.popen.returncode)
    for file in log_files(lab):
        with open(file, errors="replace") as f:
            look_for(secrets() | known, file, f.read())
    lab.daemon = lab.spawn("up", ["sh", "-c", "ulimit -c unlimited && exec ssm-tun up -vv -c " + path], env=env, cwd=cwd)
    lab.daemon.wait_text(r"\bup: %d of %d upstreams" % (len(SOURCES), len(SOURCES)), 60)
    check_no_core(lab, cwd)
