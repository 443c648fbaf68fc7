# SPDX-License-Identifier: MIT
"""How flows end and wait: half-closes, and a reader that stops reading."""
import hashlib
import secrets
import socket
import time

import netns
from lab import V4, V6, check, connect, recv_all, recv_exactly
from netns import wait_until
from scenarios import scenario

MIB = 1 << 20


@scenario("half-close")
def half_close(lab):
    """FIN one way leaves the other way open: nc -N, an answer behind the client's FIN, a client that goes on after the server's."""
    late, sums = secrets.token_bytes(2 * MIB), {}

    def count(s):  # nc -N: the server answers once it has seen the FIN
        s.sendall(b"%d\n" % len(recv_all(s)))

    def answer_late(s):
        check(recv_all(s) == b"question", "another question")
        time.sleep(0.3)  # the answer must find the flow still there a while after the FIN
        s.sendall(late)

    def fin_first(s):  # the server ends its side at once, and reads on
        s.shutdown(socket.SHUT_WR)
        data = recv_all(s)
        sums[hashlib.sha256(data).hexdigest()] = len(data)

    ports = {f: {a: lab.serve(f, a) for a in (V4, V6)} for f in (count, answer_late, fin_first)}
    lab.standard()
    for address in (V4, V6):
        r = lab.run("nc", "-N", "-w", "10", address, str(ports[count][address]), stdin=b"x" * 1234, binary=True, timeout=15)
        check(r.out == b"1234\n", "nc -N: %r %r" % (r.out, r.err))
        with connect(address, ports[answer_late][address]) as s:
            s.sendall(b"question")
            s.shutdown(socket.SHUT_WR)
            check(recv_all(s) == late, "the answer behind the client's FIN differs")
        with connect(address, ports[fin_first][address]) as s:
            check(s.recv(1) == b"", "the server's FIN did not come")
            data = secrets.token_bytes(3 * MIB)
            for at in range(0, len(data), MIB // 2):
                s.sendall(data[at:at + MIB // 2])
            s.shutdown(socket.SHUT_WR)
            digest = hashlib.sha256(data).hexdigest()
            wait_until(lambda: digest in sums, 10, "what was sent after the server's FIN has arrived")
    wait_until(lambda: lab.status()["flows"]["now"] == 0, 10, "no flow is left")


@scenario("resets")
def resets(lab):
    """A connection that one side aborts is reset on the other, and nothing of it is left."""
    import struct
    linger0 = struct.pack("ii", 1, 0)
    seen = {}

    def abort(s):
        recv_exactly(s, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger0)

    def observe(s):
        recv_exactly(s, 1)
        s.sendall(b"y")
        s.settimeout(10)
        try:
            seen["end"] = s.recv(1)
        except OSError as e:
            seen["end"] = e.errno

    p1, p2 = lab.serve(abort), lab.serve(observe)
    lab.standard()
    with connect(V4, p1) as s:
        s.sendall(b"x")
        try:
            end = s.recv(1)
        except ConnectionResetError:
            end = b""
        check(end == b"", "data behind a reset")
    s = connect(V4, p2)
    s.sendall(b"x")
    recv_exactly(s, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger0)
    s.close()
    wait_until(lambda: "end" in seen, 10, "the server learns of the client's reset")
    wait_until(lambda: lab.status()["flows"]["now"] == 0, 10, "no flow is left")


@scenario("stalled-reader", alone=True)
def stalled_reader(lab):
    """A reader that stops for long costs the others at most half their rate, no memory, and loses nothing."""
    stall_s = 30.0 if lab.long else 6.0
    size = 64 * MIB
    payload = secrets.token_bytes(MIB)
    want = hashlib.sha256(payload * (size // MIB)).hexdigest()

    def source(s):
        for _ in range(size // MIB):
            s.sendall(payload)

    port = lab.serve(source)
    lab.standard()
    flowgen = lab.start_flowgen()
    pid = lab.daemon_pid()

    def rate(seconds):
        """MB/s down of repeated copies for that long."""
        end, moved, t0 = time.monotonic() + seconds, 0, time.monotonic()
        while time.monotonic() < end:
            r = lab.flowgen("xfer", V4, flowgen, "--down", 16 * MIB)
            check(r["ok"] == 1, "the copy: %s" % r)
            moved += r["received"]
        return moved / 1e6 / (time.monotonic() - t0)

    rate(0.5)
    alone = rate(stall_s / 3)
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.settimeout(20)
        s.connect((V4, port))
        first = recv_exactly(s, 1)
        before = netns.status_kb(pid, "RssAnon")
        beside = rate(stall_s)
        grown = netns.status_kb(pid, "RssAnon") - before
        h = hashlib.sha256(first)
        while True:
            b = s.recv(1 << 18)
            if not b:
                break
            h.update(b)
    lab.note("the other flow kept %.0f %% of %.0f MB/s; RssAnon %+d kB" % (100 * beside / alone, alone, grown))
    check(h.hexdigest() == want, "the stalled reader's sum differs")
    check(beside >= alone / 2, "the other flow fell from %.1f to %.1f MB/s" % (alone, beside))
    check(grown < 4 * 1024 or lab.sanitized, "RssAnon grew by %d kB" % grown)
