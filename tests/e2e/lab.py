# SPDX-License-Identifier: MIT
"""A laboratory for one scenario: a client machine C, a VPC V, and the programs between them.

By the time a Lab is made, this process already is in private mount, pid and network namespaces (see `run`): the network
namespace is C. V is a second one, joined to C by a veth pair that carries only what the agent says to the gateway; its servers
have addresses (10.77.0.0/16, fd77::/64) to which C has no route but our program's. /run, /etc and /mnt are the
lab's own, so that neither another lab nor the machine sees anything, and all of it vanishes with the namespaces.
"""
import fcntl
import http.server
import json
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import termios
import threading
import time

import netns
from netns import wait_until

ROOT = "/mnt/lab"
LINK_C, LINK_V = "192.0.2.1", "192.0.2.2"
V4, V6 = "10.77.0.10", "fd77::10"
UNREACHABLE4 = "10.77.98.1"   # a router says: host unreachable
NO_NET4 = "10.77.97.1"        # a router says: network unreachable
BLACKHOLE4 = "10.77.99.1"     # V's kernel sends SYNs to a device that nobody reads
BLACKHOLE6 = "fd77:0:0:0:99::1"
USER, UID = "alice", 4711
OTHER, OTHER_UID = "mallory", 4712
HOST_ID = "vpc-1"


class Fail(Exception):
    """What must hold does not."""


class Skip(Exception):
    """This machine cannot show it."""


def check(condition, text):
    if not condition:
        raise Fail(text)


class Proc:
    """A program with its output in a file; its log is what it printed."""

    def __init__(self, name, argv, log, env=None, ns=None, cwd=None, user=None, stdin=subprocess.DEVNULL, pty=False):
        self.name, self.argv, self.log_path = name, list(argv), log
        if ns:
            argv = ["nsenter", "--net=" + ns, "--"] + list(argv)
        self.log_file = open(log, "wb")
        self.started = time.monotonic()
        self.popen = subprocess.Popen(
            argv, stdin=stdin, stdout=self.log_file, stderr=subprocess.STDOUT, env=env, cwd=cwd or ROOT,
            start_new_session=True, user=user, group=user, extra_groups=[] if user else None)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def raw(self):
        with open(self.log_path, "rb") as f:
            return f.read()

    @property
    def text(self):
        return self.raw.decode(errors="replace")

    def running(self):
        return self.popen.poll() is None

    def wait_text(self, pattern, timeout=10):
        """Waits for a line that matches; ends early if the program does. Returns the match."""
        def look():
            m = re.search(pattern, self.text, re.M)
            if m or self.running():
                return m
            m = re.search(pattern, self.text, re.M)
            if m:
                return m
            raise Fail("%s ended with status %s before it said /%s/: %s" % (
                self.name, self.popen.returncode, pattern, self.text[-600:].strip()))
        try:
            return wait_until(look, timeout, "%s: /%s/" % (self.name, pattern))
        except TimeoutError as e:
            raise Fail(str(e)) from None

    def wait(self, timeout=10):
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Fail("%s did not end within %s s" % (self.name, timeout)) from None

    def send(self, sig):
        if self.running():
            self.popen.send_signal(sig)

    def stop(self, sig=signal.SIGTERM, timeout=10):
        self.send(sig)
        return self.wait(timeout)


class Result:
    """What a finished command gave."""

    def __init__(self, status, out, err, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds

    @property
    def text(self):
        return self.out + self.err


class Lab:
    def __init__(self, build, long=False):
        self.build, self.long = os.path.abspath(build), long
        self.sanitized = self._has_sanitizers()  # memory figures mean nothing then
        self.notes, self.procs, self.lock = [], [], threading.Lock()
        self.gateway = self.agent = self.sshd = self.daemon = None
        self.gateway_ports, self.fault, self.gateway_names = None, None, []
        self.upstream_changes, self.config_changes = {}, {}
        self.sshd_port, self.host_id = 22, HOST_ID
        self.counter = 0
        self.resolved_rows = list  # what systemd-resolved was told, where a scenario plays it (world.py)
        self.bin = ROOT + "/bin"
        self.env = {"PATH": self.bin + ":/usr/sbin:/usr/bin:/sbin:/bin", "HOME": ROOT + "/root", "LANG": "C.UTF-8",
                    "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=%s" % os.environ.get("E2E_LEAKS", "1")}
        for name in ("UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        # As a sudo of that user would call us; the `sudo-user` scenario uses the real one.
        self.user_env = dict(self.env, SUDO_UID=str(UID), SUDO_GID=str(UID), SUDO_USER=USER, HOME="/root")
        self._mounts()
        self._users()
        self._network()
        self._ssh_keys()
        os.mkdir(self.bin, 0o755)
        for name in ("ssm-tun", "ssm-tun-gateway", "ssm-tun-agent", "flowgen"):
            path = os.path.join(self.build, "bin", name)
            if os.path.exists(path):
                # A copy: another user may be unable to enter the folder of the build.
                shutil.copy(path, self.bin)

    def _has_sanitizers(self):
        try:
            with open(self.build + "/CMakeCache.txt") as f:
                return "SSM_TUN_ASAN:BOOL=ON\n" in f.read()
        except OSError:
            return False

    # ---- the machine

    def _mounts(self):
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=6g", "lab", "/mnt"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "lab-run", "/run"], check=True)
        for d in (ROOT, ROOT + "/log", ROOT + "/root", ROOT + "/v", ROOT + "/home", ROOT + "/tmp", "/run/sshd"):
            os.mkdir(d, 0o755)
        os.chmod(ROOT + "/tmp", 0o1777)
        # The device with the mode that udev gives it: a container's may be closed to all but root.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=1m", "lab-dev", "/dev/net"], check=True)
        os.mknod("/dev/net/tun", 0o666 | stat.S_IFCHR, os.makedev(10, 200))
        os.chmod("/dev/net/tun", 0o666)
        subprocess.run(["cp", "-a", "/etc", "/mnt/etc"], check=True)
        subprocess.run(["mount", "--bind", "/mnt/etc", "/etc"], check=True)

    def _users(self):
        rows = [("root", 0, ROOT + "/root"), (USER, UID, ROOT + "/home/" + USER), (OTHER, OTHER_UID, ROOT + "/home/" + OTHER)]
        for path, row in (("/etc/passwd", "{0}:x:{1}:{1}::{2}:/bin/bash\n"), ("/etc/group", "{0}:x:{1}:\n"),
                          ("/etc/shadow", "{0}:*:19000:0:99999:7:::\n")):
            with open(path) as f:
                kept = [line for line in f if line.split(":")[0] not in ("root", USER, OTHER)]
            with open(path, "w") as f:
                f.writelines([row.format(*r) for r in rows] + kept)
        for name, uid, home in rows[1:]:
            os.makedirs(home + "/.ssh", mode=0o700)
            for d in (home, home + "/.ssh"):
                os.chown(d, uid, uid)
                os.chmod(d, 0o700)
        self.home = ROOT + "/home/" + USER

    def _network(self):
        for key in ("all", "default"):
            with open("/proc/sys/net/ipv6/conf/%s/accept_dad" % key, "w") as f:
                f.write("0")
        self.v, v_holder = self._namespace()
        self.router, r_holder = self._namespace()
        self._ip(None, "link set lo up", "link add vc type veth peer name vv", "link set vv netns %d" % v_holder.pid,
                 "addr add %s/30 dev vc" % LINK_C, "link set vc up")
        # Beyond V stands a router that knows better: what it says arrives as ICMP, as from a real network.
        self._ip(self.v, "link set lo up", "addr add %s/30 dev vv" % LINK_V, "link set vv up",
                 "addr add %s/32 dev lo" % V4, "addr add %s/128 dev lo" % V6,
                 "link add vr type veth peer name rv", "link set rv netns %d" % r_holder.pid,
                 "addr add 203.0.113.1/30 dev vr", "link set vr up",
                 "route add 10.77.98.0/24 via 203.0.113.2", "route add 10.77.97.0/24 via 203.0.113.2",
                 "tuntap add hole mode tun", "link set hole up",
                 "route add 10.77.99.0/24 dev hole", "route add fd77:0:0:0:99::/80 dev hole")
        self._ip(self.router, "link set lo up", "addr add 203.0.113.2/30 dev rv", "link set rv up",
                 "route add unreachable 10.77.98.0/24")
        self.must("nsenter", "--net=" + self.router, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.icmp_ratelimit=0")
        for holder in (v_holder, r_holder):
            holder.kill()
            holder.wait()

    @staticmethod
    def _ip(ns, *lines):
        run = dict(input="\n".join(lines), text=True, check=True)
        if ns:
            netns.call_in(ns, subprocess.run, ["ip", "-b", "-"], **run)
        else:
            subprocess.run(["ip", "-b", "-"], **run)

    @staticmethod
    def _namespace():
        """A new network namespace: a path that names it as long as this process lives, and a process in it, to be ended."""
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], preexec_fn=netns.die_with_parent)
        path, own = "/proc/%d/ns/net" % holder.pid, os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(path) != own, 5, "a new network namespace")
        return "/proc/%d/fd/%d" % (os.getpid(), os.open(path, os.O_RDONLY)), holder

    def _ssh_keys(self):
        self.user_key = self.home + "/.ssh/id_ed25519"
        keys = [(ROOT + "/v/host_ed25519", "ed25519"), (ROOT + "/v/host_rsa", "rsa"), (self.user_key, "ed25519")]
        for path, kind in keys:
            subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", kind, "-f", path, "-C", "e2e"] +
                           (["-b", "2048"] if kind == "rsa" else []), check=True)
        for suffix in ("", ".pub"):
            os.chown(self.user_key + suffix, UID, UID)
        self.authorized = ROOT + "/v/authorized_keys"
        shutil.copy(self.user_key + ".pub", self.authorized)

    # ---- programs

    def note(self, text):
        self.notes.append(text)

    def log_path(self, name):
        with self.lock:
            self.counter += 1
            return "%s/log/%02d-%s.log" % (ROOT, self.counter, name)

    def where(self, v):
        """The namespace that `v` means: True is V, a path that one, nothing C."""
        return self.v if v is True else v or None

    def spawn(self, name, argv, v=False, env=None, **kwargs):
        p = Proc(name, argv, self.log_path(name), env=env or self.env, ns=self.where(v), **kwargs)
        self.procs.append(p)
        return p

    def spawn_on_terminal(self, name, argv, env=None, user=None):
        """As spawn(), on a terminal of its own that is its session's. Returns (process, the other end's descriptor)."""
        ours, theirs = os.openpty()

        def take_terminal():
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        path = self.log_path(name)
        log = open(path, "wb")
        p = Proc.__new__(Proc)
        p.name, p.argv, p.log_path, p.started = name, list(argv), path, time.monotonic()
        p.popen = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=env or self.env, cwd=ROOT,
                                   preexec_fn=take_terminal, user=user, group=user, extra_groups=[] if user else None)
        os.close(theirs)

        def copy():
            while True:
                try:
                    data = os.read(ours, 4096)
                except OSError:  # EIO: nobody has the terminal any more
                    return
                log.write(data)
                log.flush()
        threading.Thread(target=copy, daemon=True).start()
        self.procs.append(p)
        return p, ours

    def run(self, *argv, v=False, env=None, timeout=60, stdin=None, cwd=None, user=None, binary=False):
        """Runs a command to its end; its status is in the result, never an exception but that it does not end."""
        if v:
            argv = ("nsenter", "--net=" + self.where(v), "--") + argv
        t = time.monotonic()
        try:
            p = subprocess.run(argv, env=env or self.env, timeout=timeout, input=stdin, cwd=cwd or ROOT, user=user, group=user,
                               extra_groups=[] if user else None, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        except subprocess.TimeoutExpired:
            raise Fail("%s did not end within %s s" % (" ".join(argv), timeout)) from None
        seconds = time.monotonic() - t
        if binary:
            return Result(p.returncode, p.stdout, p.stderr, seconds)
        return Result(p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace"), seconds)

    def must(self, *argv, **kwargs):
        r = self.run(*argv, **kwargs)
        check(r.status == 0, "%s: status %d: %s" % (" ".join(argv[:6]), r.status, str(r.err)[-500:].strip()))
        return r

    # ---- the far side

    def start_sshd(self, port=None, extra="", v=True):
        port = port or self.sshd_port
        path = ROOT + "/v/sshd_config"
        with open(path, "w") as f:
            f.write("""ListenAddress 127.0.0.1
Port %d
HostKey %s/v/host_ed25519
HostKey %s/v/host_rsa
UsePAM no
StrictModes no
PidFile none
AuthorizedKeysFile %s
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
AllowTcpForwarding yes
MaxStartups 1000
MaxSessions 2000
UseDNS no
LogLevel VERBOSE
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
%s
""" % (port, ROOT, ROOT, self.authorized, extra))
        self.sshd = self.spawn("sshd", ["/usr/sbin/sshd", "-D", "-e", "-f", path], v=v)
        self.sshd.wait_text(r"Server listening on")
        return self.sshd

    def stop_sshd(self):
        """The listener and every connection of it, as a machine's `systemctl stop ssh` with KillMode=control-group."""
        for pid in netns.processes("sshd"):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.sshd.wait()

    def start_gateway(self, fault=None, ports=None):
        state = ROOT + "/gateway"
        if not os.path.isdir(state):
            self.must("ssm-tun-gateway", "init", state, *[a for n in [LINK_C] + self.gateway_names for a in ("--name", n)])
            self.ca = ROOT + "/ca.pem"
            shutil.copy(state + "/ca.pem", self.ca)
            os.chmod(self.ca, 0o644)
            self.read_key_pair(self.must("ssm-tun-gateway", "keys", "add", "e2e", "--dir", state).out)
        ports = ports or self.gateway_ports or {"control": 0, "agents": 0, "actions": 0}
        argv = ["ssm-tun-gateway", "serve", "--dir", state, "--enrol", "open",
                "--control", "%s:%d" % (LINK_C, ports["control"]),
                "--agents", "%s:%d" % (LINK_C, ports["agents"]), "--actions", "127.0.0.1:%d" % ports["actions"]]
        fault = fault or self.fault
        if fault:
            argv += ["--fault", fault, "--insecure"]
        self.gateway = self.spawn("gateway", argv)
        ready = json.loads(self.gateway.wait_text(r"^\{.*\}$").group(0))
        self.gateway_ports = {k: int(str(ready[k]).rsplit(":", 1)[-1]) for k in ("control", "agents", "actions")}
        return self.gateway

    def read_key_pair(self, text):
        """What `keys add` printed, in the words of an AWS credentials file."""
        found = dict(re.findall(r"(?m)^(aws_\w+) = (\S+)$", text))
        check(set(found) == {"aws_access_key_id", "aws_secret_access_key"}, "keys add printed: " + text[:200])
        self.access_key, self.secret_key = found["aws_access_key_id"], found["aws_secret_access_key"]

    def start_agent(self, host_id=None, extra=(), wait=True, v=True):
        host_id = host_id or self.host_id
        state = ROOT + "/v/agent-" + host_id
        self.agent = self.spawn("agent", [
            "ssm-tun-agent", "--gateway", self.agents_url(), "--ca", self.ca, "--state", state, "--host-id", host_id,
            *extra], v=v)
        if wait:
            self.wait_agent(host_id)
        return self.agent

    def agents_url(self):
        return "wss://%s:%d" % (LINK_C, self.gateway_ports["agents"])

    def agents(self):
        r = self.run("curl", "-sS", "--noproxy", "*", "--max-time", "2",
                     "http://127.0.0.1:%d/agents" % self.gateway_ports["actions"])
        try:
            return json.loads(r.out)["agents"]
        except (ValueError, KeyError):
            return []

    def wait_agent(self, host_id=None, timeout=15):
        host_id = host_id or self.host_id
        try:
            wait_until(lambda: any(a["host_id"] == host_id and a["connected"] for a in self.agents()), timeout,
                       "the agent %s is connected" % host_id)
        except TimeoutError as e:
            raise Fail(str(e)) from None

    def start_far_side(self, fault=None):
        self.start_sshd()
        self.start_gateway(fault)
        self.start_agent()

    def listen(self, address=V4, port=0, v=True):
        """A listening socket in V: (socket, port)."""
        s = netns.call_in(self.where(v), netns.listener, address, port)
        return s, s.getsockname()[1]

    def serve(self, handler, address=V4, port=0, v=True):
        """Each connection to a new port in V gets a thread that runs handler(socket); returns the port."""
        s, port = self.listen(address, port, v)

        def one(conn):
            try:
                with conn:
                    handler(conn)
            except OSError:
                pass

        def loop():
            while True:
                try:
                    conn, _ = s.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(conn,), daemon=True).start()

        threading.Thread(target=loop, daemon=True).start()
        return port

    def serve_http(self, folder, address=V4):
        s, port = self.listen(address)

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=folder)

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(s.getsockname()[:2], Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = s
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return port

    def start_flowgen(self, address=V4, port=7000):
        p = self.spawn("flowgen-%s" % port, ["flowgen", "serve", address, str(port)], v=True)
        p.wait_text("ready")
        return port

    def flowgen(self, *argv, timeout=120):
        """A flowgen client in C; its JSON line."""
        r = self.must("flowgen", *[str(a) for a in argv], timeout=timeout)
        return json.loads(r.out)

    # ---- ssm-tun

    def upstream(self, **changes):
        u = {"instances": [self.host_id],
             "aws": {"access_key": self.access_key, "secret_key": self.secret_key, "region": "us-east-1",
                     "endpoint_url": "https://%s:%d" % (LINK_C, self.gateway_ports["control"]), "ca_bundle": self.ca},
             "ssh": {"user": "root", "key": self.user_key},
             "sessions": {"min": 1, "max": 4}}
        for key, value in {**self.upstream_changes, **changes}.items():
            if isinstance(value, dict) and isinstance(u.get(key), dict):
                u[key] = {k: v for k, v in {**u[key], **value}.items() if v is not None}
            elif value is None:
                u.pop(key, None)
            else:
                u[key] = value
        return u

    def config(self, routes=None, upstream=None, **more):
        c = {"upstreams": {"vpc": upstream or self.upstream()},
             "routes": routes or [{"match": "10.77.0.0/16", "upstream": "vpc"}, {"match": "fd77::/64", "upstream": "vpc"}]}
        c.update(self.config_changes)
        c.update(more)
        return c

    def write(self, path, text, uid=UID, mode=0o600):
        with open(path, "w") as f:
            f.write(text)
        os.chown(path, uid, uid)
        os.chmod(path, mode)
        return path

    def write_config(self, config=None, path=None, uid=UID, mode=0o600):
        # JSON is YAML.
        return self.write(path or self.home + "/tun.yaml", json.dumps(config or self.config(), indent=1) + "\n", uid, mode)

    def up(self, config=None, *flags, env=None, timeout=30, wait=True, cwd=None):
        """Starts `up` in the foreground and waits until it is."""
        path = self.write_config(config)
        self.daemon = self.spawn("up", ["ssm-tun", "up", "-c", path, *flags], env=env or self.user_env, cwd=cwd)
        if wait:
            self.daemon.wait_text(r"\bup: \d+ of \d+ upstreams", timeout)
        return self.daemon

    def tun(self, *argv, **kwargs):
        """Another command of ssm-tun as that user under sudo."""
        kwargs.setdefault("env", self.user_env)
        return self.run("ssm-tun", *argv, **kwargs)

    def down(self):
        r = self.tun("down")
        check(r.status == 0, "down: status %d: %s" % (r.status, r.err))
        return r

    def status(self):
        r = self.tun("status", "--json")
        check(r.status == 0, "status: %d: %s" % (r.status, r.err))
        return json.loads(r.out)

    def standard(self, config=None, *flags, fault=None):
        """Far side and tunnel: what most scenarios start with."""
        self.start_far_side(fault)
        return self.up(config, *flags)

    def daemon_pid(self):
        return self.status()["pid"]

    # ---- the host as it was

    def picture(self):
        files = []
        for d, dirs, names in os.walk("/run/ssm-tun"):
            files += [os.path.join(d, n) for n in dirs + names]
        if "/run/ssm-tun/lock" in files:
            files.remove("/run/ssm-tun/lock")  # stays by intent: a lock whose file is removed is held by two
        return {"network": netns.net_picture(),
                "host": netns.host_picture(), "resolved": self.resolved_rows(),
                "sockets": [s for s in netns.listening_sockets() if "ssm-tun" in s or not s.startswith("unix")],
                "files": sorted(files), "processes": sorted(netns.processes().values())}

    def expect_clean(self, before, timeout=2.0):
        """The host is as it was; the keeper is given its second, and a half on a busy machine."""
        diff = {}

        def same():
            diff.clear()
            now = self.picture()
            for key in before:
                gone = [x for x in before[key] if x not in now[key]]
                new = [x for x in now[key] if x not in before[key]]
                if gone or new:
                    diff[key] = {"gone": gone, "new": new}
            return not diff
        try:
            wait_until(same, timeout, "clean")
        except TimeoutError:
            raise Fail("not as before after %.1f s: %s" % (timeout, json.dumps(diff)[:1500])) from None

    # ---- the end

    def logs(self, lines=25):
        """The ends of all logs, of a program that ran many times only the last run."""
        last = {p.name: p for p in self.procs}
        out = []
        for p in [p for p in self.procs if last[p.name] is p]:
            tail = p.text.splitlines()[-lines:]
            state = "running" if p.running() else "status %s" % p.popen.returncode
            out.append("--- %s (%s): %s" % (p.name, state, " ".join(p.argv)[:200]))
            if p is self.daemon and p.running():
                tail += ["status: " + self.tun("status", "--json", timeout=10).text.strip()]
            out += ["    " + re.sub(r"[^\x20-\x7e\t]", lambda m: "\\x%02x" % ord(m.group(0)), line)[:4000] for line in tail]
        return "\n".join(out)

    def sanitizer_reports(self):
        bad = re.compile(r"ERROR: (AddressSanitizer|LeakSanitizer)|runtime error:|ST_BUG|BUG:|Assertion .* failed")
        ours = [p for p in self.procs if any(a.startswith("ssm-tun") or "/ssm-tun" in a for a in p.argv)]
        return ["%s: %s" % (p.name, m.group(0)) for p in ours for m in [bad.search(p.text)] if m]


# ---- plain clients in C

def connect(address, port, timeout=20.0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(timeout)
    try:
        s.connect((address, port))
    except BaseException:
        s.close()
        raise
    return s


def connect_error(address, port, timeout=30.0):
    """Tries to connect: (errno name or "open", seconds)."""
    import errno
    t = time.monotonic()
    try:
        connect(address, port, timeout).close()
        what = "open"
    except socket.timeout:
        what = "timeout"
    except OSError as e:
        what = errno.errorcode.get(e.errno, str(e))
    return what, time.monotonic() - t


def recv_all(s):
    parts = []
    while True:
        b = s.recv(1 << 16)
        if not b:
            return b"".join(parts)
        parts.append(b)


def recv_exactly(s, n):
    parts, left = [], n
    while left:
        b = s.recv(min(left, 1 << 16))
        if not b:
            raise Fail("the stream ended %d bytes early" % left)
        parts.append(b)
        left -= len(b)
    return b"".join(parts)


def random_file(path, size):
    with open(path, "wb") as f:
        block = secrets.token_bytes(1 << 20)
        while size > 0:
            f.write(block[:min(size, len(block))])
            size -= len(block)
    return path
