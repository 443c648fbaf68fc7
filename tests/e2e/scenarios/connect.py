# SPDX-License-Identifier: MIT
"""EC2 Instance Connect through our own gateway and agent: keys that a real sshd takes for a minute."""
import os
import re
import stat
import time

from lab import LINK_C, ROOT, V4, check, connect, recv_exactly
from netns import wait_until
from scenarios import scenario

INSTANCE = "i-0123456789abcdef0"
KEYS = ROOT + "/v/keys"


def far_side(lab, agent_takes_keys=True):
    """An sshd that knows no key but those that the agent has for it."""
    lab.host_id = INSTANCE
    lab.write(lab.authorized, "", uid=0)
    lab.start_sshd(extra="AuthorizedKeysCommand %s/ssm-tun-agent authorized-keys --dir %s %%u\nAuthorizedKeysCommandUser root" % (lab.bin, KEYS))
    lab.start_gateway()
    lab.start_agent(extra=("--authorized-keys-dir", KEYS) if agent_takes_keys else ())
    # the user's own key must not help
    os.rename(lab.user_key, lab.user_key + ".away")
    return lab.upstream(ssh={"key": "instance-connect"}, sessions={"min": 3})


def pushed(lab):
    return len(re.findall(r"a key for root is valid for 60 s", lab.agent.text))


@scenario("instance-connect")
def instance_connect(lab):
    """`up` with key: instance-connect: one push for three sessions, traffic, another push when sshd forgot; errors; a stock CLI."""
    upstream = far_side(lab)
    port = lab.serve(lambda s: s.sendall(b"hello"))
    lab.up(lab.config(upstream=upstream))
    with connect(V4, port) as s:
        check(recv_exactly(s, 5) == b"hello", "no greeting")
    wait_until(lambda: [x["state"] for x in lab.status()["upstreams"][0]["sessions"]] == ["ready"] * 3, 20, "three sessions")
    check(pushed(lab) == 1, "%d keys were pushed for three log-ins" % pushed(lab))
    accepted = set(re.findall(r"Accepted publickey for root .* (ED25519 SHA256:\S+)", lab.sshd.text))
    check(len(accepted) == 1, "keys that sshd took: %s" % accepted)
    path = KEYS + "/root"
    check(stat.S_IMODE(os.stat(path).st_mode) == 0o600 and stat.S_IMODE(os.stat(KEYS).st_mode) == 0o700, "modes of the keys")
    # sshd forgets the key, and a session is lost: the log-in that shared the push pushes once more
    os.truncate(path, 0)
    for pid in sshd_sessions(lab)[:1]:
        os.kill(pid, 9)
    wait_until(lambda: pushed(lab) == 2, 20, "a second push")
    wait_until(lambda: [x["state"] for x in lab.status()["upstreams"][0]["sessions"]] == ["ready"] * 3, 20, "three sessions again")
    lab.down()
    if lab.long:
        wait_until(lambda: not os.path.exists(path), 62, "the keys are gone")
        # after the minute sshd takes none of them: a fresh pair is pushed
        before = time.monotonic()
        lab.up(lab.config(upstream=upstream))
        lab.note("a minute later: %.1f s" % (time.monotonic() - before))
        check(pushed(lab) == 3, "no third push")
        lab.down()
    check(not re.search(r"BEGIN OPENSSH|PRIVATE KEY", "".join(p.text for p in lab.procs)), "a private key is in a log")
    lab.agent.stop()
    check(not os.path.exists(path), "the agent left its keys")


def sshd_sessions(lab):
    """The processes of sshd that carry a session each, the newest last."""
    children = "/proc/%d/task/%d/children" % (lab.sshd.pid, lab.sshd.pid)
    with open(children) as f:
        return [int(pid) for pid in f.read().split()]


@scenario("instance-connect-errors")
def instance_connect_errors(lab):
    """No key can be pushed, or sshd does not ask for it: `up` says what is missing; `check` refuses managed nodes."""
    upstream = far_side(lab, agent_takes_keys=False)
    before = lab.picture()
    p = lab.up(lab.config(upstream=upstream), wait=False)
    check(p.wait(15) == 1 and "(UnsupportedOperation)" in p.text and "--authorized-keys-dir" in p.text,
          "an agent that takes no keys: %s" % p.text[-400:])
    lab.expect_clean(before)
    lab.agent.stop()
    lab.start_agent(extra=("--authorized-keys-dir", KEYS))
    lab.stop_sshd()
    lab.start_sshd()
    before = lab.picture()
    p = lab.up(lab.config(upstream=upstream), wait=False)
    check(p.wait(15) == 1 and "is the package ec2-instance-connect installed on " + INSTANCE in p.text,
          "an sshd that does not ask: %s" % p.text[-400:])
    lab.expect_clean(before)
    managed = dict(upstream, instances=["mi-0123456789abcdef0"])
    r = lab.tun("check", "-c", lab.write_config(lab.config(upstream=managed)))
    check(r.status == 1 and "EC2 instances alone" in r.text, "a managed node: %d %s" % (r.status, r.text[-300:]))
    r = lab.tun("config", "show", "-c", lab.write_config(lab.config(upstream=upstream)))
    check(re.search(r"key: instance-connect +# ", r.out), "config show: %s" % r.text[-300:])
    # what sshd runs
    r = lab.run("ssm-tun-agent", "authorized-keys", "--dir", KEYS, "../root")
    check(r.status == 1 and not r.out, "a bad user: %d" % r.status)
    r = lab.run("ssm-tun-agent", "authorized-keys", "--dir", KEYS)
    check(r.status == 1 or r.status == 2, "no user: %d" % r.status)


@scenario("instance-connect-cli")
def instance_connect_cli(lab):
    """Debian's AWS CLI pushes a key of the user's by the gateway, if its access key may: plain SSH on the host takes it."""
    far_side(lab)
    env = dict(lab.env, AWS_ACCESS_KEY_ID=lab.access_key, AWS_SECRET_ACCESS_KEY=lab.secret_key, AWS_CA_BUNDLE=lab.ca,
               AWS_DEFAULT_REGION="eu-west-1", AWS_MAX_ATTEMPTS="1")
    aws = ("aws", "ec2-instance-connect", "send-ssh-public-key", "--endpoint-url",
           "https://%s:%d" % (LINK_C, lab.gateway_ports["control"]), "--instance-os-user", "root",
           "--ssh-public-key", "file://%s.pub" % lab.user_key)
    ssh = ("ssh", "-F", "/dev/null", "-i", lab.user_key + ".away", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
           "-o", "BatchMode=yes", "root@127.0.0.1", "echo", "in")
    r = lab.run(*ssh, v=True)
    check(r.status == 255 and "Permission denied" in r.err, "before the push: %s" % r.text[-200:])
    r = lab.run(*aws, "--instance-id", INSTANCE, env=env)
    check(r.status == 0 and '"Success": true' in r.out, "the push: %s" % r.text[-300:])
    r = lab.run(*ssh, v=True)
    check(r.status == 0 and r.out == "in\n", "after the push: %s" % r.text[-300:])
    # a key whose glob does not fit
    other = lab.must("ssm-tun-gateway", "keys", "add", "other", "--targets", "web-*", "--dir", ROOT + "/gateway").out
    pair = dict(re.findall(r"(?m)^(aws_\w+) = (\S+)$", other))
    r = lab.run(*aws, "--instance-id", INSTANCE, env=dict(env, AWS_ACCESS_KEY_ID=pair["aws_access_key_id"],
                                                          AWS_SECRET_ACCESS_KEY=pair["aws_secret_access_key"]))
    check(r.status != 0 and "(AccessDeniedException)" in r.err, "another's key: %s" % r.text[-300:])
    r = lab.run(*aws, "--instance-id", "i-0123456789abcdef9", env=env)
    check(r.status != 0 and "(EC2InstanceUnavailableException)" in r.err, "no such host: %s" % r.text[-300:])
