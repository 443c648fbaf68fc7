# SPDX-License-Identifier: MIT
"""Whose files, keys and environment are used, and which configuration is believed."""
import json
import os
import re
import shutil
import socket

from lab import OTHER_UID, ROOT, UID, USER, V4, Skip, check, connect, recv_exactly
from scenarios import scenario


@scenario("sudo-user")
def sudo_user(lab):
    """Real sudo as an unprivileged user: AWS_PROFILE exported, credentials at home, a key in ssh-agent only."""
    if not shutil.which("sudo"):
        raise Skip("sudo is not installed")
    lab.start_far_side()
    with open("/etc/sudoers.d/e2e", "w") as f:
        f.write("%s ALL=(ALL) NOPASSWD: ALL\n" % USER)
    os.chmod("/etc/sudoers.d/e2e", 0o440)
    os.mkdir(lab.home + "/.aws", 0o700)
    os.chown(lab.home + "/.aws", UID, UID)
    lab.write(lab.home + "/.aws/credentials", "[default]\naws_access_key_id = AKIAWRONG\naws_secret_access_key = wrong\n"
              "[work]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % (lab.access_key, lab.secret_key))
    lab.write(lab.home + "/.aws/config", "[profile work]\nregion = eu-west-1\n")
    agent = lab.spawn("ssh-agent", ["ssh-agent", "-D", "-a", ROOT + "/tmp/agent.sock"], user=UID)
    from netns import wait_until
    wait_until(lambda: os.path.exists(ROOT + "/tmp/agent.sock") or not agent.running(), 5, "ssh-agent")
    # As alice's shell has it; sudo removes both variables.
    env = dict(lab.env, HOME=lab.home, USER=USER, LOGNAME=USER, AWS_PROFILE="work", SSH_AUTH_SOCK=ROOT + "/tmp/agent.sock")
    lab.must("ssh-add", "-q", lab.user_key, user=UID, env=env)
    os.unlink(lab.user_key)
    upstream = lab.upstream(ssh={"key": None}, aws={"access_key": None, "secret_key": None, "region": None})
    path = lab.write_config(lab.config(upstream=upstream))
    binary = lab.bin + "/ssm-tun"
    probe = lab.run("sudo", "-n", "env", user=UID, env=env)
    if probe.status != 0:
        raise Skip("sudo does not work here: " + probe.err.strip()[:200])
    check("AWS_PROFILE" not in probe.out, "this sudo keeps AWS_PROFILE: nothing would be shown")
    before = lab.picture()
    p = lab.spawn("sudo-up", ["sudo", "-n", binary, "up", "-v", "-c", path], user=UID, env=env)
    p.wait_text(r"\bup: 1 of 1", 20)
    check("AWS_PROFILE" in p.text and "SSH_AUTH_SOCK" in p.text, "up -v does not list what was taken from sudo's environment")
    check(lab.secret_key not in p.text, "the secret is in the log")
    port = lab.serve(lambda s: s.sendall(b"hello"))
    with connect(V4, port) as s:
        recv_exactly(s, 5)
    r = lab.run(binary, "status", "--json", user=UID, env=env)
    check(r.status == 0 and json.loads(r.out)["uid"] == UID, "the user's own status: %d %s" % (r.status, r.err))
    hosts = lab.home + "/.local/state/ssm-tun/known_hosts"
    check(os.stat(hosts).st_uid == UID, "the host keys are not the user's")
    r = lab.run("sudo", "-n", binary, "down", user=UID, env=env)
    check(r.status == 0, "sudo down: %s" % r.err)
    check(p.wait() == 0, "exit status %s" % p.popen.returncode)
    lab.expect_clean(before, 1.5)
    # Ctrl-C on a terminal reaches sudo and every process of ours that stands in the foreground.
    p, keyboard = lab.spawn_on_terminal("sudo-terminal", ["sudo", "-n", binary, "up", "-c", path], user=UID, env=env)
    p.wait_text(r"\bup: 1 of 1", 20)
    os.write(keyboard, b"\x03")
    check(p.wait() == 0, "Ctrl-C: exit status %s" % p.popen.returncode)
    lab.expect_clean(before, 1.5)


@scenario("unit")
def unit(lab):
    """As the systemd unit runs it: /etc/ssm-tun/NAME.yaml, the system user ssm-tun, sd_notify, few capabilities."""
    system_uid = 4799
    for path, row in (("/etc/passwd", "ssm-tun:x:%d:%d::/var/lib/ssm-tun:/usr/sbin/nologin\n"), ("/etc/group", "ssm-tun:x:%d:\n")):
        with open(path, "a") as f:
            f.write(row % ((system_uid,) * row.count("%d")))
    # StateDirectory=; the machine's own /var/lib is not to be touched.
    lab.must("mount", "-t", "tmpfs", "-o", "mode=755,size=16m", "lab-var-lib", "/var/lib")
    os.mkdir("/var/lib/ssm-tun", 0o700)
    os.chown("/var/lib/ssm-tun", system_uid, system_uid)
    lab.start_far_side()
    key = shutil.copy(lab.user_key, "/var/lib/ssm-tun/key")
    os.chown(key, system_uid, system_uid)
    os.mkdir("/etc/ssm-tun")
    path = lab.write_config(lab.config(upstream=lab.upstream(ssh={"key": key})), "/etc/ssm-tun/work.yaml", uid=system_uid)
    check(os.stat(path).st_mode & 0o077 == 0, "the configuration holds secrets")
    notify = ROOT + "/tmp/notify"
    caps = "cap_net_admin,cap_setuid,cap_setgid,cap_setpcap,cap_dac_override,cap_chown,cap_fowner,cap_kill"
    bounding = ["--bounding-set=-all," + ",".join("+" + c[4:] for c in caps.split(","))]
    before = lab.picture()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(notify)
        os.chmod(notify, 0o777)
        s.settimeout(20)
        env = {"PATH": lab.env["PATH"], "NOTIFY_SOCKET": notify, "ASAN_OPTIONS": lab.env["ASAN_OPTIONS"]}
        p = lab.spawn("unit", ["setpriv", *bounding, "ssm-tun", "up", "work"], env=env)
        try:
            said = s.recv(4096).decode()
        except socket.timeout:
            said = ""
        check("READY=1" in said, "sd_notify said %r" % said)
        status = lab.run("ssm-tun", "status", "work", "--json")
        check(status.status == 0 and json.loads(status.out)["uid"] == system_uid, "status: %s %s" % (status.out[:200], status.err))
        port = lab.serve(lambda c: c.sendall(b"hello"))
        with connect(V4, port) as c:
            recv_exactly(c, 5)
        r = lab.run("ssm-tun", "down", "work")
        check(r.status == 0, "down: " + r.err)
        check("STOPPING=1" in s.recv(4096).decode(), "sd_notify did not say that it stops")
    check(p.wait() == 0, "exit status %s" % p.popen.returncode)
    lab.expect_clean(before, 1.0)


@scenario("run-as")
def run_as(lab):
    """Plain root is refused with the way out, unless a root-owned configuration says `run_as`."""
    lab.start_far_side()
    lab.write_config()
    r = lab.run("ssm-tun", "up", "-c", lab.home + "/tun.yaml", env=lab.env)
    check(r.status == 1 and "run_as" in r.err and "sudo" in r.err, "plain root: %d %s" % (r.status, r.err))
    # Root's own file, with keys that root may read.
    key = shutil.copy(lab.user_key, ROOT + "/root/key")
    os.chown(key, 0, 0)
    path = lab.write_config(lab.config(run_as="root", upstream=lab.upstream(ssh={"key": key})), ROOT + "/root/tun.yaml", uid=0)
    p = lab.spawn("up", ["ssm-tun", "up", "-c", path])
    p.wait_text(r"\bup: 1 of 1", 20)
    check(lab.run("ssm-tun", "down").status == 0 and p.wait() == 0, "down as root")
    # A user's file cannot make itself root.
    path = lab.write_config(lab.config(run_as="root"), lab.home + "/sneaky.yaml")
    r = lab.run("ssm-tun", "up", "-c", path, env=lab.env)
    check(r.status == 1, "run_as of a user's file was honoured")


GOOD = "upstreams: {a: {instances: [i-0aaaaaaaaaaaaaaaa], aws: {profile: p}, ssh: {user: ec2-user}}}\n" \
       "routes: [{match: 10.0.0.0/8, upstream: a}]\n"


@scenario("config-trust")
def config_trust(lab):
    """./config.yaml is believed only if it is the caller's own and nobody else can write it; /etc/shadow stays secret."""
    home_config = lab.home + "/.config/ssm-tun"
    os.makedirs(home_config)
    for d in (lab.home + "/.config", home_config):
        os.chown(d, UID, UID)
        os.chmod(d, 0o700)
    lab.write(home_config + "/config.yaml", GOOD)
    n = [0]

    def folder(mode=0o755, uid=UID):
        n[0] += 1
        d = "%s/tmp/w%d" % (ROOT, n[0])
        os.mkdir(d)
        os.chown(d, uid, uid)
        os.chmod(d, mode)
        return d

    def run_check(cwd, *args, **kwargs):
        return lab.tun("check", *args, cwd=cwd, **kwargs)

    def expect(name, d, used):
        """used: "here" (./config.yaml), "home", or None: refused."""
        r = run_check(d)
        text = r.text
        if used == "here":
            ok = r.status == 0 and re.search(r"^(\./|%s/)?config\.yaml: ok" % re.escape(d), r.out, re.M)
        elif used == "home":
            ok = r.status == 0 and home_config in r.out
        else:
            ok = r.status == 1
        check(ok, "%s: status %d: %s" % (name, r.status, text.strip()[:400]))
        return text

    d = folder()
    lab.write(d + "/config.yaml", GOOD)
    expect("own file", d, "here")
    for name, setup in (
            ("another owner's", lambda d: lab.write(d + "/config.yaml", GOOD, uid=OTHER_UID, mode=0o644)),
            ("world-writable", lambda d: lab.write(d + "/config.yaml", GOOD, mode=0o666)),
            ("group-writable", lambda d: lab.write(d + "/config.yaml", GOOD, mode=0o664)),
            ("a symlink", lambda d: os.symlink(lab.write(d + "/real.yaml", GOOD), d + "/config.yaml")),
            ("a fifo", lambda d: os.mkfifo(d + "/config.yaml")),
            ("a folder", lambda d: os.mkdir(d + "/config.yaml"))):
        d = folder()
        setup(d)
        r = run_check(d)
        check("%s/config.yaml: ok" % d not in r.out and not re.match(r"(\./)?config\.yaml: ok", r.out),
              "%s ./config.yaml was believed" % name)
        check("config.yaml" in r.text, "%s: nothing is said of it: %s" % (name, r.text))
    for name, mode, uid in (("a folder that all may write", 0o777, UID), ("a sticky folder that all may write", 0o1777, UID),
                            ("another's folder", 0o755, OTHER_UID)):
        d = folder(mode, uid)
        lab.write(d + "/config.yaml", GOOD)
        r = run_check(d)
        check(not re.match(r"(\./|%s/)?config\.yaml: ok" % re.escape(d), r.out), "./config.yaml in %s was believed" % name)

    d = folder()
    lab.write(d + "/config.yaml", "version: 3\nservices: {web: {image: nginx}}\n", mode=0o644)
    check("config.yaml" in expect("another program's", d, "home"), "nothing is said of another program's file")

    secrets = "upstreams: {a: {instances: [i-0aaaaaaaaaaaaaaaa], aws: {access_key: AKIAIOSFODNN7EXAMPLE, secret_key: hushhushhushhushhushhush, region: eu-west-1}, " \
              "ssh: {user: u}}}\nroutes: [{match: 10.0.0.0/8, upstream: a}]\n"
    path = lab.write(lab.home + "/open.yaml", secrets, mode=0o644)
    r = run_check(d, "-c", path)
    check(r.status == 1 and "hushhush" not in r.text and "chmod" in r.text, "secrets readable by others: %d %s" % (r.status, r.text))
    os.chmod(path, 0o600)
    r = run_check(d, "-c", path)
    check(r.status == 0, "secrets in a private file are refused: " + r.text)
    r = lab.tun("config", "show", "-c", path)
    check(r.status == 0 and "hushhush" not in r.text, "config show shows the secret")

    # Files that are not the caller's to read, and files that are no configuration: nothing of them is shown, not to root either.
    for secret_file in ("/etc/shadow", "/etc/gshadow", "/etc/passwd"):
        with open(secret_file) as f:
            fields = {w for line in f for w in re.split(r"[:\n]", line) if len(w) >= 6}
        for who, env in (("sudo", lab.user_env), ("root", lab.env)):
            r = run_check(d, "-c", secret_file, env=env)
            check(r.status == 1, "check -c %s by %s: status %d" % (secret_file, who, r.status))
            shown = [w for w in fields if w in r.text.replace(secret_file, "")]
            check(not shown, "check -c %s by %s shows %s: %s" % (secret_file, who, shown, r.text))
    # Every problem at once, with its place and a suggestion.
    path = lab.write(lab.home + "/bad.yaml", "upstreams:\n  a: {instances: [i-0aaaaaaaaaaaaaaaa], ssh: {usr: x}}\nroutez: []\n")
    r = run_check(d, "-c", path)
    check(r.status == 1 and re.search(r"bad\.yaml:2:\d+: .*user", r.text) and re.search(r"bad\.yaml:3:1: .*routes", r.text),
          "check of two mistakes: %s" % r.text)
