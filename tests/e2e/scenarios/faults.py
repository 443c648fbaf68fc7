# SPDX-License-Identifier: MIT
"""A relay that loses, reorders and doubles, and parts that die and return."""
import errno
import signal
import socket
import time

from lab import V4, Fail, check, connect, connect_error, recv_exactly
from netns import wait_until
from scenarios import scenario

MIB = 1 << 20


@scenario("faults", alone=True)
def faults(lab):
    """1 % of messages and acks dropped, 5 % reordered, 2 % doubled, both ways: all sums agree."""
    one = (256 if lab.long else 16) * MIB
    lab.standard(fault="loss=0.01,ack-loss=0.01,reorder=0.05,dup=0.02,seed=7")
    port = lab.start_flowgen()
    for args in (("--up", one), ("--down", one), ("--up", one // 4, "--down", one // 4)):
        r = lab.flowgen("xfer", V4, port, *args, timeout=600)
        check(r["ok"] == 1, "%s: %s" % (args, r))
        lab.note("%.1f/%.1f MB/s" % (r["up_mb_s"], r["down_mb_s"]))
    r = lab.flowgen("xfer", V4, port, "--up", MIB // 2, "--down", MIB // 2, "-n", 20, timeout=600)
    check(r["ok"] == 20, "20 flows: %s" % r)
    resent = sum(s["resent"] for u in lab.status()["upstreams"] for s in u["sessions"])
    check(resent > 0, "nothing was resent: did the relay misbehave at all?")
    lab.note("%d messages resent" % resent)


@scenario("cuts")
def cuts(lab):
    """The relay cuts both sides' WebSockets again and again: the flows only pause, every sum agrees."""
    size = (512 if lab.long else 32) * MIB
    lab.standard(fault="cut-after=8000000,cut-side=both,loss=0.005,seed=3")
    port = lab.start_flowgen()
    sessions = [s["session_id"] for s in lab.status()["upstreams"][0]["sessions"]]
    for args in (("--up", size), ("--down", size)):
        r = lab.flowgen("xfer", V4, port, *args, timeout=900)
        check(r["ok"] == 1, "%s: %s" % (args, r))
        lab.note("%.1f/%.1f MB/s" % (r["up_mb_s"], r["down_mb_s"]))
    again = lab.daemon.text.count("resumed after")
    check(again >= 4, "only %d cuts: nothing was shown" % again)
    check([s["session_id"] for s in lab.status()["upstreams"][0]["sessions"]] == sessions, "the session is another one now")
    lab.note("%d cuts" % again)


def open_echo(lab, port):
    s = connect(V4, port)
    s.sendall(b"echo\n!")
    check(recv_exactly(s, 1) == b"!", "no echo")
    return s


def wait_end(s, seconds):
    """How the flow ended: errno name, "EOF", or None if it did not. Keeps sending, as an application would."""
    end = time.monotonic() + seconds
    s.settimeout(0.1)
    while time.monotonic() < end:
        try:
            s.send(b"x")
            if not s.recv(65536):
                return "EOF"
        except socket.timeout:
            continue
        except OSError as e:
            return errno.errorcode[e.errno]
    return None


def try_connect(port):
    try:
        s = connect(V4, port, 5)
        s.sendall(b"echo\n!")
        ok = s.recv(1) == b"!"
        s.close()
        return ok
    except OSError:
        return False


def expect_back(port, seconds, what):
    t = time.monotonic()
    try:
        wait_until(lambda: try_connect(port), seconds, what)
    except TimeoutError as e:
        raise Fail("new flows: " + str(e)) from None
    return time.monotonic() - t


def lose(lab, port, name, stop, start, absence=1.0):
    """Flows run, the part stops, they are reset within 5 s; it returns and new flows work within 5 s."""
    flows = [open_echo(lab, port) for _ in range(3)]
    t = time.monotonic()
    stop()
    ends = [wait_end(s, 5.5) for s in flows]
    took = time.monotonic() - t
    for s in flows:
        s.close()
    check(all(e in ("ECONNRESET", "EPIPE") for e in ends), "%s stopped: the flows ended by %s" % (name, ends))
    check(took < 5.5, "%s stopped: the flows were reset after %.1f s" % (name, took))
    time.sleep(max(0.0, absence - (time.monotonic() - t)))
    start()
    gone = time.monotonic() - t
    # An absence of more than 5 s allows for the next attempt of the other parts, whose back-off has grown meanwhile.
    back = expect_back(port, 5.0 + (gone if gone > 5 else 0), "after the return of " + name)
    lab.note("%s: reset after %.1f s, back after %.1f s" % (name, took, back))
    check(lab.daemon.running(), "the daemon ended when %s did" % name)


@scenario("lost-agent", seconds=10)
def lost_agent(lab):
    """The agent is killed while flows run: they are reset within 5 s, and new ones work soon after its return."""
    lab.standard()
    lab.start_flowgen()
    lose(lab, 7000, "agent", lambda: lab.agent.stop(signal.SIGKILL), lambda: lab.start_agent(wait=True))
    lose(lab, 7000, "agent (SIGTERM)", lambda: lab.agent.stop(signal.SIGTERM), lambda: lab.start_agent(wait=True))


@scenario("lost-sshd")
def lost_sshd(lab):
    """sshd is killed while flows run: they are reset within 5 s, and new ones work soon after its return."""
    lab.standard()
    lab.start_flowgen()
    lose(lab, 7000, "sshd", lab.stop_sshd, lab.start_sshd)


@scenario("lost-gateway")
def lost_gateway(lab):
    """The gateway stops: the daemon says so and stays, new flows get ICMP unreachable; it returns and they work."""
    lab.config_changes["limits"] = {"connect_budget": "3s"}
    lab.standard()
    lab.start_flowgen()
    held = open_echo(lab, 7000)
    lab.gateway.stop(signal.SIGKILL)
    lab.daemon.wait_text(r"(?i)lost|gone|closed|unreachable|reconnect|refused", 10)
    what, s = connect_error(V4, 7000, 30)
    check(what in ("EHOSTUNREACH", "ENETUNREACH"), "without the gateway a new flow got %s after %.1f s" % (what, s))
    check(2 < s < 5, "a new flow was told after %.1f s; the budget is 3 s" % s)
    check(lab.daemon.running(), "the daemon ended with the gateway")
    check(lab.status()["state"] == "running", "the daemon is %s" % lab.status()["state"])
    t = time.monotonic()
    lab.start_gateway()
    lab.wait_agent(timeout=30)
    agent_back = time.monotonic() - t
    try:
        back = expect_back(7000, 5.0, "after the return of the gateway and its agent")
    except Fail as e:
        raise Fail("%s; it gets %s; sessions: %s" % (e, connect_error(V4, 7000, 15), [
            (x["state"], x["channels"], x["pending_opens"]) for x in lab.status()["upstreams"][0]["sessions"]])) from None
    lab.note("unreachable after %.1f s; agent back %.1f s after the gateway, new flows %.1f s after that" % (s, agent_back, back))
    held.close()


@scenario("lost-gateway-short")
def lost_gateway_short(lab):
    """The gateway is away for less than 5 s: new flows work within 5 s of its return."""
    lab.standard()
    lab.start_flowgen()
    lab.gateway.stop(signal.SIGKILL)
    time.sleep(1.0)  # the absence
    lab.start_gateway()
    back = expect_back(7000, 5.0, "after a short absence of the gateway")
    lab.note("back after %.1f s" % back)
