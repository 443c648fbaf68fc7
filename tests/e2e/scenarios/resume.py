# SPDX-License-Identifier: MIT
"""Sessions that lose their WebSocket: cuts in the middle of bulk, a gateway that is killed, a laptop's nap, an end meanwhile."""
import json
import os
import re
import signal
import time

import netns
from lab import LINK_C, UID, V4, Fail, check, connect_error
from netns import wait_until
from scenarios import scenario
from scenarios.faults import expect_back, open_echo, wait_end

SIZE = 200 * 1000 * 1000  # bytes of a transfer
CUTS = 10                 # in each of them
DIRECTIONS = (("--up", "bytes_out"), ("--down", "bytes_in"))


class Transfer:
    """One flow of much data while something happens; its sum is checked by flowgen."""

    def __init__(self, lab, port, direction, size=SIZE, rate=None):
        self.lab, self.direction = lab, direction
        argv = ["flowgen", "xfer", V4, str(port), direction, str(size)]
        self.proc = lab.spawn("xfer" + direction, argv + (["--rate", str(rate)] if rate else []))

    def finish(self, timeout=150):
        status = self.proc.wait(timeout)
        try:
            r = json.loads(self.proc.text)
        except ValueError:
            raise Fail("flowgen %s: status %s: %s" % (self.direction, status, self.proc.text[-300:])) from None
        check(status == 0 and r["ok"] == 1, "%s: %s" % (self.direction, r))
        self.lab.note("%s %.1f MB/s" % (self.direction, max(r["up_mb_s"], r["down_mb_s"])))


class Before:
    """What must be the same afterwards: the sessions, and flows that were idle meanwhile."""

    def __init__(self, lab, port, flows=5):
        self.lab = lab
        self.sessions = [s["session_id"] for s in session_rows(lab)]
        self.flows = [open_echo(lab, port) for _ in range(flows)]

    def check(self):
        check([s["session_id"] for s in session_rows(self.lab)] == self.sessions, "the session is another one now")
        for i, s in enumerate(self.flows):
            s.settimeout(20)
            s.sendall(b"still there?")
            got = b""
            while len(got) < 12:
                more = s.recv(12 - len(got))
                check(more, "idle flow %d was closed" % i)
                got += more
            check(got == b"still there?", "idle flow %d gives %r" % (i, got))


def session_rows(lab):
    return lab.status()["upstreams"][0]["sessions"]


def resumed(lab):
    """How long each pause of the daemon's lasted, in ms."""
    return [int(x) for x in re.findall(r"resumed after (\d+) ms", lab.daemon.text)]


def faults(lab, spec):
    lab.must("curl", "-sSf", "--noproxy", "*", "--data", spec, "http://127.0.0.1:%d/faults" % lab.gateway_ports["actions"])


def cut_by_the_relay(lab, side, count):
    """Transfers, in each of which the relay cuts that side's socket whenever it has carried a part of the bytes."""
    lab.standard(fault="off")
    port = lab.start_flowgen()
    before = Before(lab, port)
    for direction, _ in DIRECTIONS:
        had = count(lab)
        faults(lab, "cut-side=%s,cut-after=%d" % (side, SIZE // (CUTS + 1)))
        transfer = Transfer(lab, port, direction)
        transfer.finish()
        faults(lab, "off")
        cuts = count(lab) - had
        check(cuts >= CUTS, "%s: only %d cuts: nothing was shown" % (direction, cuts))
        lab.note("%d cuts" % cuts)
    before.check()


@scenario("resume-client-cuts", alone=True)
def client_cuts(lab):
    """The client's WebSocket is cut ten times within one transfer of 200 MB, up and down: sums agree, no flow is reset."""
    cut_by_the_relay(lab, "client", lambda lab: len(resumed(lab)))
    lab.note("longest pause %d ms" % max(resumed(lab)))


@scenario("resume-agent-cuts", alone=True)
def agent_cuts(lab):
    """The agent's WebSocket is cut ten times within one transfer of 200 MB, up and down: sums agree, no flow is reset."""
    cut_by_the_relay(lab, "agent", lambda lab: len(re.findall(r"data channel back after", lab.agent.text)))
    check(not resumed(lab), "the client had to resume: %s" % resumed(lab))


def kill_gateway(lab, absence=0.0):
    """Returns when the daemon has resumed: seconds since the gateway's return."""
    had = len(resumed(lab))
    lab.gateway.stop(signal.SIGKILL)
    time.sleep(absence)
    lab.start_gateway()
    t = time.monotonic()
    try:
        wait_until(lambda: len(resumed(lab)) > had, 10 + absence / 2, "the session is resumed")
    except TimeoutError as e:
        raise Fail("%s; status: %s" % (e, session_rows(lab))) from None
    return time.monotonic() - t


@scenario("resume-gateway-kill", seconds=52)
def gateway_kill(lab):
    """The gateway is killed and restarted ten times within one transfer of 200 MB, up and down: sums agree, no flow is reset."""
    lab.standard()
    port = lab.start_flowgen()
    before = Before(lab, port)
    back = []
    for direction, key in DIRECTIONS:
        # The agent needs some seconds to return each time; so the way down has ten kills with --long only.
        kills = CUTS if lab.long or direction == "--up" else 3
        start = session_rows(lab)[0][key]
        transfer = Transfer(lab, port, direction)
        for i in range(1, kills + 1):
            wait_until(lambda: session_rows(lab)[0][key] - start > i * SIZE // (kills + 1) or not transfer.proc.running(),
                       60, "%s: part %d is over" % (direction, i))
            check(transfer.proc.running(), "%s ended before kill %d: %s" % (direction, i, transfer.proc.text))
            back.append(kill_gateway(lab, 120.0 if lab.long and i == kills else 0.0))
        transfer.finish()
        lab.note("%d kills" % kills)
    lab.note("client back %.1f s after the gateway at most" % max(back))
    before.check()


# ---- naps

class Cable:
    """The network between the daemon and the gateway. Out: its packets are answered by a reset, or by nothing."""

    def __init__(self, lab):
        self.lab = lab

    def out(self, how="reject with tcp reset"):
        self.lab.must("nft", "add table inet nap; add chain inet nap out { type filter hook output priority 0; }; "
                             "add rule inet nap out meta skuid %d ip daddr %s tcp dport %d %s" % (
                                 UID, LINK_C, self.lab.gateway_ports["control"], how))

    def plug(self):
        self.lab.must("nft", "delete table inet nap")


def nap_flows(lab, port):
    """A flow that moves bytes all the time, each way, and is not near its end when the nap begins."""
    start = session_rows(lab)[0]
    flows = [Transfer(lab, port, d, 60 * 1000 * 1000, rate=6 * 1000 * 1000) for d, _ in DIRECTIONS]
    wait_until(lambda: min(session_rows(lab)[0][k] - start[k] for _, k in DIRECTIONS) > 5 * 1000 * 1000, 20, "both flows move")
    return flows


def nap_over(lab, flows, before, seconds, had):
    """The nap is over: the pause was as long as it, the flows go on to their ends, and nothing was lost."""
    t = time.monotonic()
    wait_until(lambda: len(resumed(lab)) > had, max(20, seconds / 3), "the session is resumed")
    back = time.monotonic() - t
    check(resumed(lab)[-1] > 900 * seconds, "paused for %s ms only" % resumed(lab)[had:])
    for f in flows:
        f.finish()
    before.check()
    lab.note("%d s away, back after %.1f s" % (seconds, back))


@scenario("nap", seconds=20)
def nap(lab):
    """The network is gone for long: flows only pause, new ones are told after their budget, and all go on when it is back."""
    seconds = 300 if lab.long else 15
    lab.config_changes["limits"] = {"connect_budget": "2s"}
    lab.standard()
    port = lab.start_flowgen()
    before, cable = Before(lab, port), Cable(lab)
    flows = nap_flows(lab, port)
    t = time.monotonic()
    cable.out()
    wait_until(lambda: session_rows(lab)[0]["state"] == "resuming", 10, "the loss is noticed")
    check(0 < session_rows(lab)[0]["paused_ms"] < 10000, "since when does not show: %s" % session_rows(lab)[0])
    what, s = connect_error(V4, port, 20)
    check(what in ("EHOSTUNREACH", "ENETUNREACH") and 1 < s < 4, "a new flow got %s after %.1f s; the budget is 2 s" % (what, s))
    rss = netns.status_kb(lab.daemon_pid(), "RssAnon")
    time.sleep(max(0.0, t + seconds - time.monotonic()))  # the absence is the point
    check(session_rows(lab)[0]["state"] == "resuming", "the session is %s" % session_rows(lab)[0])
    grown = netns.status_kb(lab.daemon_pid(), "RssAnon") - rss
    check(grown < 4096 or lab.sanitized, "RssAnon grew by %d kB while nothing moved" % grown)
    cable.plug()
    nap_over(lab, flows, before, seconds, 0)
    expect_back(port, 5, "after the nap")


@scenario("nap-asleep", seconds=23)
def nap_asleep(lab):
    """The daemon sleeps, as on a laptop with the lid closed, and its connections die meanwhile or not: the flows go on when it wakes."""
    seconds = 310 if lab.long else 8
    lab.standard()
    port = lab.start_flowgen()
    before, cable = Before(lab, port), Cable(lab)
    pid = lab.daemon_pid()
    for network_too in (False, True):
        flows = nap_flows(lab, port)
        had = len(resumed(lab))
        os.kill(pid, signal.SIGSTOP)
        if network_too:
            cable.out()
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)
        if network_too:  # it comes back a little later than the machine
            wait_until(lambda: session_rows(lab)[0]["state"] == "resuming", 10, "the loss is noticed")
            cable.plug()
            t = time.monotonic()
            wait_until(lambda: len(resumed(lab)) > had, 10, "the session is resumed")
            lab.note("%d s asleep, back after %.1f s" % (seconds, time.monotonic() - t))
        for f in flows:
            f.finish()
    before.check()
    if lab.long:
        silence(lab, port, before, cable)


def silence(lab, port, before, cable):
    """No packet passes and nobody says so: noticed within a minute, and the flows go on."""
    flows = nap_flows(lab, port)
    had = len(resumed(lab))
    t = time.monotonic()
    cable.out("drop")
    wait_until(lambda: session_rows(lab)[0]["state"] == "resuming", 65, "the silence is noticed")
    lab.note("silence noticed after %.0f s" % (time.monotonic() - t))
    time.sleep(max(0.0, t + 300 - time.monotonic()))
    cable.plug()
    nap_over(lab, flows, before, 235, had)


@scenario("ended-meanwhile")
def ended_meanwhile(lab):
    """The session is terminated at the service while the client is away: flows are reset with a reason, another session serves."""
    lab.standard()
    port = lab.start_flowgen()
    cable, flow = Cable(lab), open_echo(lab, port)
    session = session_rows(lab)[0]["session_id"]
    cable.out()
    flow.sendall(b"x")
    wait_until(lambda: session_rows(lab)[0]["state"] == "resuming", 10, "the loss is noticed")
    terminate(lab, session)
    check(wait_end(flow, 1) is None, "the flow was reset while the service could not be asked")
    t = time.monotonic()
    cable.plug()
    end = wait_end(flow, 10)
    check(end in ("ECONNRESET", "EPIPE"), "the flow ended by %s" % end)
    took = time.monotonic() - t
    check(took < 6, "the flow was reset after %.1f s" % took)
    lab.daemon.wait_text(r"the session is over", 2)
    back = expect_back(port, 5, "after the end")
    check(session not in [s["session_id"] for s in session_rows(lab)], "it is still that session")
    lab.note("reset after %.1f s, another session after %.1f s" % (took, back))


def terminate(lab, session):
    """TerminateSession by somebody else's program, from where the cable is not out."""
    config = "user = %s:%s\n" % (lab.access_key, lab.secret_key)
    lab.must("curl", "-sSf", "-K", "-", "--noproxy", "*", "--cacert", lab.ca, "--aws-sigv4", "aws:amz:us-east-1:ssm",
             "-H", "Content-Type: application/x-amz-json-1.1", "-H", "X-Amz-Target: AmazonSSM.TerminateSession",
             "--data", json.dumps({"SessionId": session}), "https://%s:%d/" % (LINK_C, lab.gateway_ports["control"]),
             stdin=config.encode(), binary=True)
