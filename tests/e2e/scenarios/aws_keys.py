# SPDX-License-Identifier: MIT
"""Keys that are pushed to the host, and keys of the machine that we run on."""
import os
import signal
import time

import netns
from lab import check
from netns import wait_until
from played import INSTANCE, Played, start
from scenarios import scenario
from scenarios.aws import hello


@scenario("aws-connect")
def aws_connect(lab):
    """`key: instance-connect`: the host accepts only keys that EC2 Instance Connect pushed; logins of a minute share one push."""
    life_s = 60 if lab.long else 6
    played = start(lab)
    played.profiles({"profile work": {}}, {"work": played.keys()})
    os.unlink(lab.user_key)
    with open(lab.authorized, "w"):
        pass  # nobody may log in
    played.do("set", connect={"authorized_keys": lab.authorized, "life_s": life_s})
    played.do("fault", operation="SendSSHPublicKey", error="ThrottlingException", message="Rate exceeded")
    upstream = {**played.upstream("work"), "sessions": {"min": 3, "max": 4}}
    upstream["ssh"] = {"user": "root", "key": "instance-connect"}
    lab.up(lab.config(upstream=upstream))
    once = hello(lab)
    once()
    wait_until(lambda: len(lab.status()["upstreams"][0]["sessions"]) == 3, 20, "three sessions")
    pushes = played.play.rows("SendSSHPublicKey")
    check([r["error"] for r in pushes] == ["ThrottlingException", None], "pushes: %s" % [r["error"] for r in pushes])
    want = {"InstanceId": INSTANCE, "InstanceOSUser": "root"}
    check({k: pushes[-1]["params"][k] for k in want} == want and pushes[-1]["params"]["SSHPublicKey"].startswith("ssh-ed25519 "),
          "what was pushed: %s" % pushes[-1]["params"])
    # The key is gone from the host; connections stay, a login later pushes again.
    wait_until(lambda: not os.path.getsize(lab.authorized), life_s + 10, "the key has gone")
    once()
    if lab.long:  # the key's minute is over for us, too
        time.sleep(5)
    since = played.play.serial()
    for pid in netns.processes("sshd"):
        if pid != lab.sshd.pid:
            os.kill(pid, signal.SIGKILL)
    played.wait_rows("SendSSHPublicKey", 1, since, 30)
    wait_until(lambda: lab.status()["upstreams"][0]["state"] == "up", 30, "up again")
    once()
    lab.down()
    check(lab.daemon.wait() == 0, "up ended with %s" % lab.daemon.popen.returncode)


@scenario("aws-metadata")
def aws_metadata(lab):
    """On EC2 and ECS: keys and region from the metadata service at its real address, keys from a container's relative path."""
    imds, ecs = "169.254.169.254", "169.254.170.2"
    lab.must("ip", "addr", "add", imds + "/32", "dev", "lo")
    lab.must("ip", "addr", "add", ecs + "/32", "dev", "lo")
    lab.start_far_side()
    played = Played(lab, "--imds", imds + ":80", "--container", ecs + ":80")
    played.profiles({"default": {}})
    played.do("set", imds={"mode": "v2"})
    config = played.config(None)
    lab.up(config, "-v")
    hello(lab)()
    lab.down()
    check(lab.daemon.wait() == 0, "up ended with %s" % lab.daemon.popen.returncode)
    asked = [r["operation"] for r in played.play.rows("IMDS:*")]
    check(asked[0] == "IMDS:token" and played.sessions_by() == ["imds"], "IMDS was asked %s, keys are of %s" % (asked, played.sessions_by()))
    played.do("clear")
    played.do("container", path="/v2/credentials/e2e")
    lab.up(config, env=dict(lab.user_env, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/v2/credentials/e2e"))
    hello(lab)()
    lab.down()
    check(lab.daemon.wait() == 0 and played.sessions_by() == ["container"], "keys are of %s" % played.sessions_by())
    check(not played.play.rows("IMDS:*"), "IMDS was asked although the container had answered")
    # A slow IMDS costs its budget, not more, and the reason is told.
    played.do("set", imds={"delay_ms": 5000})
    t = time.monotonic()
    p = lab.up(config, wait=False)
    check(p.wait(15) == 1 and time.monotonic() - t < 5, "a slow IMDS: status %s after %.1f s: %s" % (
        p.popen.returncode, time.monotonic() - t, p.text[-300:]))
