# SPDX-License-Identifier: MIT
"""A start that cannot succeed: one clear line that names the fix, soon, exit status 1, nothing left behind."""
import os
import re
import time
import subprocess

from lab import HOST_ID, ROOT, UID, check
from scenarios import scenario

LIMIT_S = 5.0


def refusal(lab, name, words, config, flags=()):
    """What is wrong with how `up` refuses this: None, or a text."""
    before = lab.picture()
    p = lab.up(config, *flags, wait=False)
    try:
        status = p.popen.wait(LIMIT_S + 1)
    except subprocess.TimeoutExpired:
        p.stop()
        lab.down()
        return "does not end; it says: " + p.text.strip()[-500:]
    seconds = time.monotonic() - p.started
    lab.note("%s %.1f s" % (name, seconds))
    lines = [line for line in p.text.splitlines() if re.search(r"(^|Z )error: ", line)]
    if status != 1:
        return "exit status %d: %s" % (status, p.text[-400:])
    if seconds >= LIMIT_S:
        return "told only after %.1f s" % seconds
    if len(lines) != 1:
        return "%d error lines, not one: %s" % (len(lines), " / ".join(lines) or p.text.strip()[-400:])
    for word in words:
        if not re.search(word, lines[0], re.I):
            return "the line does not say /%s/: %s" % (word, lines[0])
    lab.expect_clean(before)
    return None


class Refusals:
    """All cases are tried; the scenario fails at the end, with every one that was not as it must be."""

    def __init__(self, lab):
        self.lab, self.problems = lab, []

    def expect(self, name, words, config, flags=()):
        """`up` ends by itself with status 1; its one error line has all of these words (regular expressions)."""
        problem = refusal(self.lab, name, words, config, flags)
        if problem:
            self.problems.append("%s: %s" % (name, problem))

    def verdict(self):
        check(not self.problems, "; ".join(self.problems))


@scenario("startup-errors")
def startup_errors(lab):
    """Each of the usual mistakes ends `up` with one line that names the fix."""
    lab.start_far_side()
    refusals = Refusals(lab)
    up = lab.upstream

    def config(**changes):
        return lab.config(upstream=up(**changes))

    refusals.expect("unknown target", [r"i-0123456789abcdef0|target", "target"], config(instances=["i-0123456789abcdef0"]))
    refusals.expect("bad signature", ["secret|signature"], config(aws={"secret_key": "wrong" * 8}))
    refusals.expect("unknown key id", ["key"], config(aws={"access_key": "AKIAIOSFODNN7EXAMPLE"}))

    other_ca = ROOT + "/other-ca.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=other CA", "-keyout", ROOT + "/tmp/other.key", "-out", other_ca],
                   check=True, stderr=subprocess.DEVNULL)
    os.chmod(other_ca, 0o644)
    refusals.expect("wrong CA", ["ca_bundle|ca-bundle|AWS_CA_BUNDLE"], config(aws={"ca_bundle": other_ca}))

    wrong = lab.home + "/.ssh/other"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", wrong], check=True)
    os.chown(wrong, UID, UID)
    refusals.expect("wrong user key", ["key", "authorized_keys|ssh.user|ssh.key"], config(ssh={"key": wrong}))
    refusals.expect("wrong pin", ["host key|fingerprint", "host_key"],
                   config(ssh={"host_key": "SHA256:" + "A" * 43}))

    # A host key that was accepted once and is another now.
    lab.up(config())
    lab.down()
    lab.daemon.wait()
    lab.stop_sshd()
    for kind in ("ed25519", "rsa"):
        for suffix in ("", ".pub"):
            os.rename("%s/v/host_%s%s" % (ROOT, kind, suffix), "%s/v/old_%s%s" % (ROOT, kind, suffix))
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", kind, "-f", "%s/v/host_%s" % (ROOT, kind)], check=True)
    lab.start_sshd()
    refusals.expect("changed host key", ["host key", "known_hosts", HOST_ID], config())
    for kind in ("ed25519", "rsa"):
        for suffix in ("", ".pub"):
            os.rename("%s/v/old_%s%s" % (ROOT, kind, suffix), "%s/v/host_%s%s" % (ROOT, kind, suffix))
    lab.stop_sshd()
    refusals.expect("closed sshd port", ["sshd|ssh server|port 22"], config())
    lab.start_sshd()

    lab.agent.stop()
    refusals.expect("agent offline", ["agent|not connected|offline"], config())
    refusals.verdict()


@scenario("startup-partial")
def startup_partial(lab):
    """--partial comes up with the upstream that works; without it the one that fails undoes all; --timeout bounds the start."""
    lab.start_far_side()
    refusals = Refusals(lab)
    c = lab.config()
    c["upstreams"]["lame"] = lab.upstream(instances=["i-0123456789abcdef0"])
    c["routes"].append({"match": "10.78.0.0/16", "upstream": "lame"})
    refusals.expect("one of two", ["lame"], c)
    before = lab.picture()
    p = lab.up(c, "--partial")
    states = {u["name"]: u["state"] for u in lab.status()["upstreams"]}
    check(states["vpc"] == "up" and states["lame"] != "up", "with --partial: %s" % states)
    lab.down()
    check(p.wait() == 0, "the exit status after down is %s" % p.popen.returncode)
    lab.expect_clean(before)
    # A server that accepts and never says anything.
    import socket
    with socket.create_server(("127.0.0.1", 0)) as s:
        url = "https://127.0.0.1:%d" % s.getsockname()[1]
        refusals.expect("a mute endpoint", ["2 s|timeout|timed out"], lab.config(upstream=lab.upstream(aws={"endpoint_url": url})),
                       flags=("--timeout", "2s"))
    refusals.verdict()


@scenario("startup-alone")
def startup_alone(lab):
    """A start that signs, asks and connects runs no other program, the AWS CLI and its plugin least of all; no turn takes a second."""
    ran = ROOT + "/tmp/ran"
    decoys = ROOT + "/decoys"
    os.mkdir(decoys, 0o755)
    for name in ("aws", "session-manager-plugin", "ssh", "sh", "curl", "python3"):
        path = decoys + "/" + name
        lab.write(path, "#!/bin/bash\necho %s >>%s\nexit 1\n" % (name, ran), uid=0, mode=0o755)
    lab.start_far_side()
    os.symlink(lab.bin + "/ssm-tun", decoys + "/ssm-tun")
    lab.up(env=dict(lab.user_env, PATH=decoys))
    longest = lab.status()["loop"]["longest_turn_us"] / 1e3
    lab.note("longest turn %.1f ms" % longest)
    check(longest < 1000, "a turn took %.0f ms" % longest)
    lab.down()
    check(not os.path.exists(ran), "it ran something of its PATH: %s" % (os.path.exists(ran) and open(ran).read()))


@scenario("examples")
def examples(lab):
    """The configurations that README and manual show are good ones."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))
    shown = 0
    for name, block in (("README.md", r"```yaml\n(.*?)```"), ("man/ssm-tun.yaml.5", r"\.nf\n(upstreams:.*?)\.fi")):
        with open(os.path.join(top, name)) as f:
            for text in re.findall(block, f.read(), re.S):
                r = lab.tun("check", "-c", lab.write(lab.home + "/shown.yaml", text))
                check(r.status == 0, "%s: %s" % (name, r.text[-300:]))
                shown += 1
    check(shown == 2, "%d examples were found" % shown)
