# SPDX-License-Identifier: MIT
"""The ways into the VPC that are compared: our program, plain `ssh -L`, and sshuttle, all to one sshd in V.

Each has addresses of its own in V, so that all can be up at once and take turns under the same load of the machine:
10.77/16 and 10.78/16 are ours (payloads up to 64 KiB and of 1 KiB), 10.79/16 is sshuttle's, `ssh -L` listens on loopback.
"""
import os
import resource
import shutil
import socket
import time

import lab as lab_module
from lab import LINK_V, Fail

SERVER_PORT = 7000
HOST_1K = "vpc-1k"
ADDRESS = {"64k": "10.77.0.10", "1k": "10.78.0.10", "sshuttle": "10.79.0.10"}
COLUMNS = ("ssm-tun", "ssm-tun 1 KiB", "ssh -L", "ssh -L aes128-gcm", "sshuttle")  # of the table, in this order
START_LIMIT_S = 20
ATTEMPT_S = 0.25  # of one connect() while something starts


def far_side(lab):
    """The sshd, which C reaches directly too, for ssh and sshuttle; gateway; an agent for each payload size; flowgen."""
    for name in ("1k", "sshuttle"):
        lab.must("ip", "addr", "add", ADDRESS[name] + "/32", "dev", "lo", v=True)
    lab.start_sshd(extra="ListenAddress " + LINK_V)
    lab.start_gateway()
    lab.start_agent(HOST_1K, ("--max-payload", "1024"))
    lab.start_agent()
    lab.start_flowgen("0.0.0.0", SERVER_PORT)


def first_byte(address, port, process):
    """Tries until an echoed byte came back; how many seconds after the start of the process that was."""
    end = process.started + START_LIMIT_S
    while time.monotonic() < end:
        try:
            with lab_module.connect(address, port, ATTEMPT_S) as s:
                s.settimeout(START_LIMIT_S)
                s.sendall(b"echo\nx")
                if s.recv(1) == b"x":
                    return time.monotonic() - process.started
        except OSError:
            pass
        if not process.running():
            raise Fail("%s ended: %s" % (process.name, process.text[-300:].strip()))
        time.sleep(0.002)
    raise Fail("%s: no byte within %d s" % (process.name, START_LIMIT_S))


def descendants(pid):
    """The process and all that it started."""
    found = [pid]
    for p in found:
        for task in os.listdir("/proc/%d/task" % p):
            with open("/proc/%d/task/%s/children" % (p, task)) as f:
                found += [int(c) for c in f.read().split()]
    return found


class Side:
    """One way in. `name` heads its column; `port` and `address` are what a client in C connects to."""

    def __init__(self, lab, name, address, port=SERVER_PORT):
        self.lab, self.name, self.address, self.port, self.process = lab, name, address, port, None

    def start(self):
        """Starts it and waits for the first byte through it. Returns the seconds that took."""
        self.process = self.launch()
        return first_byte(self.address, self.port, self.process)

    def stop(self):
        if self.process:
            self.process.stop(timeout=15)
            self.process = None

    def pids(self):
        """The processes in C whose CPU and memory count."""
        return descendants(self.process.pid)


class Tunnel(Side):
    """ssm-tun up with one upstream; the figure is the daemon's, as the issue asks, not keeper's and runner's."""

    def __init__(self, lab, sessions_min=1):
        super().__init__(lab, "ssm-tun", ADDRESS["64k"])
        self.sessions_min, self.pid = sessions_min, None

    def config(self):
        return self.lab.config(upstream=self.lab.upstream(sessions={"min": self.sessions_min, "max": 4}))

    def launch(self):
        self.pid = None
        return self.lab.up(self.config(), wait=False)

    def stop(self):
        super().stop()
        self.pid = None

    def pids(self):
        self.pid = self.pid or self.lab.daemon_pid()
        return [self.pid]


class TwoPayloads(Tunnel):
    """One daemon with an upstream for each payload size; its two columns are of this process, one at a time."""

    def config(self):
        return self.lab.config(
            routes=[{"match": "10.77.0.0/16", "upstream": "wide"}, {"match": "10.78.0.0/16", "upstream": "narrow"}],
            upstreams={"wide": self.lab.upstream(), "narrow": self.lab.upstream(instances=[HOST_1K])})

    def narrow(self):
        side = Side(self.lab, "ssm-tun 1 KiB", ADDRESS["1k"])
        side.pids = self.pids
        return side


def ssh_options(lab):
    return ["-F", "none", "-i", lab.user_key, "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]


class Ssh(Side):
    """ssh -L straight to the sshd, with nothing between but the veth pair."""

    def __init__(self, lab, port, cipher=None):
        super().__init__(lab, "ssh -L" + (" " + cipher.split("@")[0] if cipher else ""), "127.0.0.1", port)
        self.cipher = ["-c", cipher] if cipher else []

    def launch(self):
        to = "%s:%d:%s:%d" % (self.address, self.port, ADDRESS["sshuttle"], SERVER_PORT)
        return self.lab.spawn("ssh", ["ssh", *ssh_options(self.lab), *self.cipher, "-N", "-L", to, "root@" + LINK_V])


class Sshuttle(Side):
    """sshuttle with nftables, in C. Its packets need a route before they are redirected: one to nowhere."""

    def __init__(self, lab):
        super().__init__(lab, "sshuttle", ADDRESS["sshuttle"])
        self.routed = False

    def launch(self):
        if not shutil.which("sshuttle"):
            raise Fail("sshuttle is not installed")
        if not self.routed:
            self.lab.must("ip", "tuntap", "add", "nowhere", "mode", "tun")
            self.lab.must("ip", "link", "set", "nowhere", "up")
            self.lab.must("ip", "route", "add", "10.79.0.0/16", "dev", "nowhere")
            self.routed = True
        ssh = " ".join(["ssh", *ssh_options(self.lab)])
        return self.lab.spawn("sshuttle", ["sshuttle", "--method", "nft", "--ssh-cmd", ssh, "-r", "root@" + LINK_V,
                                           "10.79.0.0/16"])


def open_files_limit():
    """A thousand sockets of ours, and as many in what is compared."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
