# SPDX-License-Identifier: MIT
"""SSH keys of every kind that a current sshd takes, and host keys."""
import os
import subprocess

from lab import HOST_ID, ROOT, UID, V4, check, connect, recv_exactly
from netns import wait_until
from scenarios import scenario


def make_key(lab, name, *args, passphrase=""):
    path = lab.home + "/.ssh/" + name
    subprocess.run(["ssh-keygen", "-q", "-N", passphrase, "-f", path, "-C", name, *args], check=True)
    for p in (path, path + ".pub"):
        os.chown(p, UID, UID)
    with open(path + ".pub") as f, open(lab.authorized, "a") as out:
        out.write(f.read())
    return path


def comes_up(lab, name, port, ssh, env=None):
    p = lab.up(lab.config(upstream=lab.upstream(ssh=ssh)), env=env)
    with connect(V4, port) as s:
        recv_exactly(s, 5)
    lab.down()
    check(p.wait() == 0, "%s: exit status %s" % (name, p.popen.returncode))
    return p


@scenario("ssh-keys")
def ssh_keys(lab):
    """Ed25519, ECDSA and RSA keys, in both file formats; an encrypted key with and without an agent."""
    lab.start_far_side()
    port = lab.serve(lambda s: s.sendall(b"hello"))
    for name, args in (("ed", ("-t", "ed25519")), ("ec256", ("-t", "ecdsa", "-b", "256")), ("ec521", ("-t", "ecdsa", "-b", "521")),
                       ("rsa2048", ("-t", "rsa", "-b", "2048")), ("rsa-pem", ("-t", "rsa", "-b", "2048", "-m", "PEM")),
                       ("ec-pem", ("-t", "ecdsa", "-m", "PEM"))):
        comes_up(lab, name, port, {"key": make_key(lab, name, *args)})
    # Encrypted: no terminal, no agent: an error that names ssh-add; with an agent that holds it: fine.
    path = make_key(lab, "locked", "-t", "ed25519", passphrase="open sesame")
    before = lab.picture()
    p = lab.up(lab.config(upstream=lab.upstream(ssh={"key": path})), wait=False)
    check(p.wait(6) == 1 and "ssh-add" in p.text, "an encrypted key: status %s: %s" % (p.popen.returncode, p.text[-300:]))
    lab.expect_clean(before)
    sock = ROOT + "/tmp/agent.sock"
    lab.spawn("ssh-agent", ["ssh-agent", "-D", "-a", sock], user=UID)
    wait_until(lambda: os.path.exists(sock), 5, "ssh-agent")
    askpass = lab.write(ROOT + "/tmp/askpass", "#!/bin/sh\necho open sesame\n", mode=0o755)
    env = dict(lab.env, SSH_AUTH_SOCK=sock, HOME=lab.home, SSH_ASKPASS=askpass, SSH_ASKPASS_REQUIRE="force")
    lab.must("ssh-add", "-q", path, user=UID, env=env)
    comes_up(lab, "encrypted, in the agent", port, {"key": path}, dict(lab.user_env, SSH_AUTH_SOCK=sock))
    # A key that others may read, or that is none.
    p = lab.up(lab.config(upstream=lab.upstream(ssh={"key": lab.write(lab.home + "/.ssh/none", "this is no key\n")})), wait=False)
    check(p.wait(6) == 1 and "/.ssh/none" in p.text, "a file that is no key: %s" % p.text[-300:])


@scenario("host-keys")
def host_keys(lab):
    """accept-new stores the key; strict needs one, of ours or of ~/.ssh/known_hosts; a pinned fingerprint must fit."""
    lab.start_far_side()
    port = lab.serve(lambda s: s.sendall(b"hello"))
    before = lab.picture()
    strict = {"host_key": "strict"}
    p = lab.up(lab.config(upstream=lab.upstream(ssh=strict)), wait=False)
    check(p.wait(6) == 1 and "host key" in p.text, "strict without a known key: %s %s" % (p.popen.returncode, p.text[-300:]))
    lab.expect_clean(before)
    ours = lab.home + "/.local/state/ssm-tun/known_hosts"
    check(not os.path.exists(ours) or not os.path.getsize(ours), "strict stored a key")
    comes_up(lab, "accept-new", port, {"host_key": "accept-new"})
    with open(ours) as f:
        line = f.read()
    check(line.startswith(HOST_ID + " ssh-ed25519 "), "our known_hosts: %r" % line)
    comes_up(lab, "strict with a stored key", port, strict)
    os.unlink(ours)
    theirs = lab.write(lab.home + "/.ssh/known_hosts", line)
    comes_up(lab, "strict with the user's known_hosts", port, strict)
    with open(theirs) as f:
        check(f.read() == line, "the user's known_hosts was written")
    os.unlink(theirs)
    # Only the RSA key is known: that type must be asked for.
    with open(ROOT + "/v/host_rsa.pub") as f:
        lab.write(theirs, HOST_ID + " " + " ".join(f.read().split()[:2]) + "\n")
    comes_up(lab, "a known RSA host key", port, strict)
    os.unlink(theirs)
    for kind in ("ed25519", "rsa"):
        r = lab.must("ssh-keygen", "-lf", "%s/v/host_%s.pub" % (ROOT, kind))
        if kind == "ed25519":
            comes_up(lab, "pinned", port, {"host_key": r.out.split()[1]})
