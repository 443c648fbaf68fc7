# SPDX-License-Identifier: MIT
"""What is measured of one side: each function gives {figure: value} in the figure's unit."""
import json
import os
import socket
import subprocess
import time

import netns
from lab import BLACKHOLE4, BLACKHOLE6, V4, V6, Fail
from netns import wait_until
from scenarios.traffic import connect_many, use_all

MB = 1e6
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
BULK_BYTES = 1 << 40  # more than any copy moves before it is ended
QUIET_BYTES = 20000   # on the wire in 50 ms: what keepalives and acks of nothing make at most


class Sizes:
    def __init__(self, quick):
        self.copy = (16 if quick else 96) << 20
        self.sequential, self.parallel = (50, 4) if quick else (200, 20)
        self.echoes, self.echoes_full, self.echoes_half = (300, 100, 300) if quick else (2000, 400, 1000)
        self.idle_s = 2 if quick else 10
        self.flows = 200 if quick else 1000
        self.checks = 10 if quick else 50
        self.names = 3 if quick else 20


# ---- of processes

def cpu_ms(pids):
    """User and system time so far."""
    ticks = 0
    for pid in pids:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * TICK_MS


def cpu_by_program():
    """{program: ms so far} of every living process: what the far side costs beside us."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            name = os.path.basename(os.readlink("/proc/%s/exe" % pid))
            found[name] = found.get(name, 0) + cpu_ms([int(pid)])
        except OSError:  # ended meanwhile
            continue
    return found


def memory_kib(pids, key):
    return sum(netns.status_kb(pid, key) for pid in pids)


def switches(pids):
    total = 0
    for pid in pids:
        with open("/proc/%d/status" % pid) as f:
            total += sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)
    return total


# ---- of the wire between C and V

def wire_bytes():
    """(up, down) so far."""
    with open("/proc/thread-self/net/dev") as f:
        for line in f:
            name, _, rest = line.partition(":")
            if name.strip() == "vc":
                w = rest.split()
                return int(w[8]), int(w[0])
    raise Fail("vc is not there")


def wait_quiet(timeout=10):
    """What an ended copy left in buffers has gone."""
    def quiet():
        before = sum(wire_bytes())
        time.sleep(0.05)
        return sum(wire_bytes()) - before < QUIET_BYTES
    wait_until(quiet, timeout, "the wire is quiet")


# ---- figures

def flowgen(side, verb, *options):
    """A flowgen client to that side; its results. What it says about a failure is the failure."""
    r = side.lab.run("flowgen", verb, side.address, str(side.port), *[str(o) for o in options], timeout=300)
    try:
        found = json.loads(r.out)
    except ValueError:
        raise Fail("flowgen %s: status %d: %s" % (verb, r.status, r.text[-200:])) from None
    if r.status != 0:
        raise Fail("%d of %d flows: %s" % (found["ok"], found["flows"], found.get("error")))
    return found


def copy(side, sizes, flows=1):
    """Throughput each way; of one flow also the CPU for each MB, and what the wire carried for each byte."""
    out = {}
    for way in ("up", "down"):
        wait_quiet()
        pids = side.pids()
        cpu, wire, others = cpu_ms(pids), wire_bytes(), cpu_by_program()
        r = flowgen(side, "xfer", "--" + way, sizes.copy // flows, "-n", flows, "--no-digest")
        moved = sizes.copy // flows * flows / MB
        label = "one flow" if flows == 1 else "%d flows" % flows
        out["%s %s" % (label, way)] = r[way + "_mb_s"]
        if flows > 1:
            continue
        out["CPU %s" % way] = (cpu_ms(pids) - cpu) / moved
        after = cpu_by_program()
        for name, figure in (("ssm-tun-gateway", "gateway"), ("ssm-tun-agent", "agent"), ("sshd", "sshd")):
            out["CPU of the %s %s" % (figure, way)] = (after.get(name, 0) - others.get(name, 0)) / moved
        at = 0 if way == "up" else 1
        out["wire %s" % way] = (wire_bytes()[at] - wire[at]) / (moved * MB)
    return out


def connections(side, count, at_once, label):
    r = flowgen(side, "connect", "--count", count, "-n", at_once)
    return {"connections " + label: count * at_once / r["seconds"]}


def echo(side, count, label, interval_us=0):
    r = flowgen(side, "echo", "--count", count, "--interval-us", interval_us)
    return {"echo p50 " + label: r["p50_us"] / 1e3, "echo p99 " + label: r["p99_us"] / 1e3}


def echo_beside(side, count, way, rate, wire_ratio):
    """Latency while a copy runs, at its full rate (rate None) or held to `rate` MB/s; and the rate that it had."""
    label = "%s copy %s" % ("full" if rate is None else "half", way)
    argv = ["flowgen", "xfer", side.address, str(side.port), "--" + way, str(BULK_BYTES), "--no-digest"]
    if rate is not None:
        argv += ["--rate", str(int(rate * MB))]
    at = 0 if way == "up" else 1
    wait_quiet()
    before = wire_bytes()[at]
    bulk = subprocess.Popen(argv, env=side.lab.env, stdout=subprocess.DEVNULL)
    try:
        # Under way, with the windows grown: after the first 8 MB.
        wait_until(lambda: wire_bytes()[at] - before > 8 * MB, 20, "the copy runs")
        began, start = time.monotonic(), wire_bytes()[at]
        out = echo(side, count, label, 1000)
        moved = (wire_bytes()[at] - start) / wire_ratio / MB
        out["rate of the " + label] = moved / (time.monotonic() - began)
    finally:
        bulk.kill()
        bulk.wait()
    return out


def idle(sides, tunnel, sizes):
    """{side: figures} of all at once: memory, and context switches; of `tunnel`, which is ours, loop turns."""
    wait_quiet()
    asked = tunnel.lab.status()["loop"]["turns"]
    time.sleep(0.2)  # the end of the question itself
    before_turns = tunnel.lab.status()["loop"]["turns"]
    status_costs = before_turns - asked
    time.sleep(0.2)
    before = {s: switches(s.pids()) for s in sides}
    time.sleep(sizes.idle_s)  # the idleness is the point
    naps = {s: switches(s.pids()) - before[s] for s in sides}
    turns = tunnel.lab.status()["loop"]["turns"] - before_turns - status_costs
    found = {}
    for s in sides:
        found[s] = {"RssAnon idle": memory_kib(s.pids(), "RssAnon") / 1024, "RSS idle": memory_kib(s.pids(), "VmRSS") / 1024,
                    "idle context switches": naps[s] / sizes.idle_s}
    found[tunnel]["idle loop turns"] = max(turns, 0) / sizes.idle_s
    return found


def many_flows(side, sizes):
    """What each of a thousand flows adds, after one byte there and back."""
    wait_quiet()
    before = {k: memory_kib(side.pids(), k) for k in ("RssAnon", "VmRSS")}
    socks = connect_many(side.address, side.port, sizes.flows)
    try:
        use_all(socks, b"x")
        return {"RssAnon a flow": (memory_kib(side.pids(), "RssAnon") - before["RssAnon"]) / sizes.flows,
                "RSS a flow": (memory_kib(side.pids(), "VmRSS") - before["VmRSS"]) / sizes.flows}
    finally:
        for s in socks:
            s.close()


def on_cpu_ms(pids):
    """So far, finer than cpu_ms()."""
    total = 0
    for pid in pids:
        with open("/proc/%d/schedstat" % pid) as f:
            total += int(f.read().split()[0])
    return total / 1e6


def first_ask(lab, processes_of):
    """From exec of `up`, with keys in its configuration, to its first StartSession at a server on this machine: how long, and
    how much of that its processes were on a CPU, which does not depend on what else the machine does."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    url = "http://127.0.0.1:%d" % listener.getsockname()[1]
    up = lab.up(lab.config(upstream=lab.upstream(aws={"endpoint_url": url})), wait=False)
    try:
        with listener, listener.accept()[0] as conn:
            conn.settimeout(10)
            data = conn.recv(65536)
            at, cpu = time.monotonic(), on_cpu_ms(processes_of(up.pid))
            if b"AmazonSSM.StartSession" not in data:
                raise Fail("not StartSession but %r" % data[:60])
            return {"start to StartSession": (at - up.started) * 1e3, "CPU until StartSession": cpu}
    finally:
        up.stop()


# Targets by name: of one family, of both, and with one family that is silent.
FAMILIES = {"a4.one.internal": {"A": [V4]}, "a6.one.internal": {"AAAA": [V6]}, "a46.one.internal": {"A": [V4], "AAAA": [V6]},
            "hole6.one.internal": {"A": [V4], "AAAA": [BLACKHOLE6]}, "hole4.one.internal": {"A": [BLACKHOLE4], "AAAA": [V6]}}
LABELS = {"a4": "IPv4 alone", "a6": "IPv6 alone", "a46": "both", "hole6": "silent IPv6", "hole4": "silent IPv4"}


def by_name(host):
    """A look-up and a connection to each address that it gives, one by one: the longest counts."""
    t = time.monotonic()
    addresses = socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM)
    looked = (time.monotonic() - t) * 1e3
    worst = 0.0
    for family, kind, _, _, where in addresses:
        with socket.socket(family, kind) as s:
            s.settimeout(15)
            t = time.monotonic()
            s.connect(where)
            worst = max(worst, (time.monotonic() - t) * 1e3)
    label = LABELS[host.split(".", maxsplit=1)[0]]
    return {"look-up": looked, "connect by name, " + label: worst}


def check_ms(lab, path):
    t = time.monotonic()
    subprocess.run(["ssm-tun", "check", "-c", path], env=lab.user_env, cwd="/", check=True, close_fds=False,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (time.monotonic() - t) * 1e3
