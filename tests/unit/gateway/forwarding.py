#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Port forwarding through the real gateway and agent, with a small client that multiplexes (smux) or does not.

    tests/unit/gateway/forwarding.py BIN [CASE…]

Output and exit status as sessions.py. The targets are listeners of this program on loopback.
"""
import asyncio
import json
import random
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
import sessions
from sessions import Client, check

CASES = []
SYN, FIN, PSH, NOP = 0, 1, 2, 3
FORWARD, TO_HOST = "AWS-StartPortForwardingSession", "AWS-StartPortForwardingSessionToRemoteHost"
OTHER_NAME = "127.1"  # another spelling of a loopback address, which only a look-up understands


def case(fn):
    CASES.append(fn)
    return fn


def frame(command, stream, data=b""):
    return struct.pack("<BBHI", 1, command, len(data), stream) + data


class Mux:
    """The client's end of a multiplexed session."""

    def __init__(self, client):
        self.client, self.next_id, self.raw, self.data, self.ended, self.flags, self.nops = client, 3, b"", {}, set(), [], 0

    async def send(self, *frames):
        await self.client.send(1, b"".join(frames))

    def new(self):
        self.next_id += 2
        self.data[self.next_id - 2] = b""
        return self.next_id - 2

    async def open(self, data=b""):
        stream = self.new()
        await self.send(frame(SYN, stream), frame(PSH, stream, data) if data else b"")
        return stream

    async def write(self, stream, data, chunk=32768):
        for i in range(0, len(data), chunk):
            await self.send(frame(PSH, stream, data[i:i + chunk]))

    async def message(self):
        kind, payload = await self.client.next()
        if kind == 10:
            self.flags.append(struct.unpack(">I", payload)[0])
            return
        check(kind == 1, "payload type %d" % kind)
        self.raw += payload
        while len(self.raw) >= 8:
            version, command, length, stream = struct.unpack("<BBHI", self.raw[:8])
            check(version == 1 and command <= NOP, "a bad frame")
            if len(self.raw) < 8 + length:
                return
            data, self.raw = self.raw[8:8 + length], self.raw[8 + length:]
            if command == NOP:
                self.nops += 1
                continue
            check(stream in self.data and stream not in self.ended, "a frame of stream %d" % stream)
            if command == FIN:
                self.ended.add(stream)
            else:
                check(command == PSH, "a SYN of the agent")
                self.data[stream] += data

    async def read(self, stream, n):
        while len(self.data[stream]) < n:
            check(stream not in self.ended, "stream %d has ended" % stream)
            await self.message()
        taken, self.data[stream] = self.data[stream][:n], self.data[stream][n:]
        return taken

    async def fin(self, stream):
        while stream not in self.ended:
            await self.message()
        rest, self.data[stream] = self.data[stream], b""
        return rest

    async def echo(self, stream, data):
        await self.write(stream, data)
        check(await self.read(stream, len(data)) == data, "other bytes came back")


async def start(bench, port, document=FORWARD, version=None, **params):
    answer = await bench.start_session(DocumentName=document,
                                       Parameters={"portNumber": [str(port)], **{k: [v] for k, v in params.items()}})
    client = Client(bench)
    client.version = version or client.version
    await client.open(answer)
    return answer, client


async def forward(bench, port=22, **more):
    answer, client = await start(bench, port, **more)
    return answer, Mux(await client.ready())


async def over(bench, answer, mux_or_client):
    await sessions.ended(bench, getattr(mux_or_client, "client", mux_or_client), answer)


async def reached(event, what):
    try:
        await asyncio.wait_for(event.wait(), 5)
    except asyncio.TimeoutError:
        raise AssertionError(what) from None


@case
async def handshake(bench):
    for document, params, want in (
            (FORWARD, {}, {"portNumber": "22", "type": "LocalPortForwarding", "localPortNumber": "0"}),
            (TO_HOST, {"localPortNumber": "9000"},
             {"portNumber": "22", "type": "LocalPortForwarding", "localPortNumber": "9000", "host": "localhost"})):
        answer, client = await start(bench, 22, document, **params)
        kind, request = await client.next()
        action, = json.loads(request)["RequestedClientActions"]
        check(kind == 5 and action["ActionParameters"] == {"SessionType": "Port", "Properties": want}, "%r" % action)
        await client.answer_handshake()
        await over(bench, answer, client)


@case
async def streams(bench):
    answer, mux = await forward(bench)
    ids = [await mux.open() for _ in range(3)]
    data = {i: random.randbytes(2 << 20) for i in ids}

    async def write(stream):
        await mux.write(stream, data[stream])
    writers = [asyncio.create_task(write(i)) for i in ids]
    for i in ids:
        check(await mux.read(i, len(data[i])) == data[i], "stream %d: other bytes came back" % i)
    await asyncio.gather(*writers)
    for i, echo in zip(ids, bench.echoes[-3:]):
        await mux.send(frame(FIN, i))
        check(await mux.fin(i) == b"", "bytes behind the client's end")
        await reached(echo, "the target does not see the end of stream %d" % i)
    await over(bench, answer, mux)


@case
async def split_frames(bench):
    answer, mux = await forward(bench)
    stream = mux.new()
    for byte in frame(SYN, stream) + frame(PSH, stream, b"abc"):
        await mux.client.send(1, bytes([byte]))
    check(await mux.read(stream, 3) == b"abc", "from single bytes")
    joined = frame(PSH, stream, b"de") + frame(NOP, 0) + frame(PSH, stream, b"") + frame(PSH, stream, b"f")
    await mux.client.send(1, joined)
    check(await mux.read(stream, 3) == b"def", "from one message")
    await over(bench, answer, mux)


@case
async def target_ends(bench):
    answer, mux = await forward(bench)
    stream, other = await mux.open(b"bye"), await mux.open(b"stays")
    check(await mux.fin(stream) == b"last words", "what was sent before the end")
    await mux.send(frame(PSH, stream, b"nobody reads that"), frame(FIN, stream))
    check(await mux.read(other, 5) == b"stays", "the other stream")
    await over(bench, answer, mux)
    await reached(bench.echoes[-1], "the target does not see the session's end")


@case
async def target_resets(bench):
    answer, mux = await forward(bench)
    stream, other = await mux.open(b"x"), await mux.open(b"stays")
    check(await mux.read(stream, 1) == b"x", "before the reset")
    await mux.write(stream, b"reset")
    check(await mux.fin(stream) == b"", "bytes of a connection that was reset")
    check(await mux.read(other, 5) == b"stays", "the other stream")
    # While more is on its way to it than its socket takes.
    stream = await mux.open(b"x")
    check(await mux.read(stream, 1) == b"x", "before the reset")
    await mux.send(frame(PSH, stream, b"reset"))
    await mux.write(stream, bytes(2 << 20))
    await mux.fin(stream)
    await mux.echo(other, b"still here")
    await over(bench, answer, mux)


@case
async def ends_while_dialing(bench):
    """A stream that its client ends before its connection stands, and a session that ends then; by look-up too."""
    for more in ({}, {"document": TO_HOST, "host": OTHER_NAME}):
        answer, mux = await forward(bench, bench.echo_port, **more)
        ids = [mux.new() for _ in range(20)]
        await mux.send(*[frame(SYN, s) + frame(PSH, s, b"x") + frame(FIN, s) for s in ids])
        for s in ids:
            await mux.fin(s)
        check(mux.flags == [], "flags %r" % mux.flags)
        await mux.echo(await mux.open(), b"still here")
        await mux.send(*[frame(SYN, mux.new()) for _ in range(20)])
        await over(bench, answer, mux)
    answer, mux = await forward(bench)
    await mux.echo(await mux.open(), b"and the agent too")
    await over(bench, answer, mux)


@case
async def refused_port(bench):
    answer, mux = await forward(bench, 1)
    for n in (1, 2):
        stream = await mux.open(b"x")
        check(await mux.fin(stream) == b"" and mux.flags == [3] * n, "flags %r" % mux.flags)
    await over(bench, answer, mux)


@case
async def allow_list(bench):
    async def refusal(port, **more):
        _, client = await start(bench, port, **more)
        return await client.output()
    check("does not allow localhost, port 2" in await refusal(2), "a port")
    check("does not allow 10.9.8.7, port 22" in await refusal(22, document=TO_HOST, host="10.9.8.7"), "a host")
    check("does not allow" in await refusal(bench.echo_port + 1, document=TO_HOST, host=OTHER_NAME), "the port of a host")
    for host, port in (("localhost", 22), ("127.0.0.1", 22), ("LOCALHOST", bench.echo_port), (OTHER_NAME, bench.echo_port)):
        answer, mux = await forward(bench, port, document=TO_HOST, host=host)
        await mux.echo(await mux.open(), b"hello " + host.encode())
        await over(bench, answer, mux)
    # A name that is allowed but does not exist is a refused connection.
    answer, mux = await forward(bench, 80, document=TO_HOST, host="no..such..host")
    check(await mux.fin(await mux.open()) == b"" and mux.flags == [3], "flags %r" % mux.flags)
    await over(bench, answer, mux)


@case
async def many_streams(bench):
    answer, mux = await forward(bench, bench.echo_port, document=TO_HOST, host=OTHER_NAME)
    for round in range(2):  # the second with what the first gave back
        ids = [await mux.open(b"%4d" % i) for i in range(50)]
        check([await mux.read(s, 4) for s in ids] == [b"%4d" % i for i in range(50)], "round %d" % round)
        await mux.send(*[frame(FIN, s) for s in ids])
        for s in ids:
            await mux.fin(s)
    answer2, more = await forward(bench)
    ids = [await more.open(b"%4d" % i) for i in range(300)]
    check([await more.read(s, 4) for s in ids] == [b"%4d" % i for i in range(300)], "300 streams")
    await over(bench, answer2, more)
    await over(bench, answer, mux)


async def restart_agent(bench, *more):
    bench.agent.terminate()
    check(await asyncio.get_running_loop().run_in_executor(None, bench.agent.wait, 10) == 0, "the agent's exit status")
    bench.start_agent(*options(bench), *more)
    await bench.connected()


@case
async def too_many_streams(bench):
    bench.files = 100  # half of them for streams
    await restart_agent(bench)
    bench.files = None
    answer, mux = await forward(bench)
    for round in (1, 2):
        ids = [await mux.open(b"%4d" % i) for i in range(60)]
        check([await mux.read(s, 4) for s in ids[:50]] == [b"%4d" % i for i in range(50)], "the first 50")
        for s in ids[50:]:
            check(await mux.fin(s) == b"", "a stream beyond the limit")
        check(mux.flags == [3] * 10 * round, "flags %r" % mux.flags)
        await mux.send(*[frame(FIN, s) for s in ids[:50]])
        for s in ids[:50]:
            await mux.fin(s)
    await over(bench, answer, mux)
    await restart_agent(bench)


@case
async def broken_frames(bench):
    for bytes_ in (b"\2\0\0\0\3\0\0\0", b"\1\4\0\0\3\0\0\0"):
        _, mux = await forward(bench)
        stream = await mux.open(b"x")
        await mux.read(stream, 1)
        await mux.client.send(1, bytes_)
        check(await mux.client.output() != "", "a broken frame is no ordinary end")
        await reached(bench.echoes[-1], "the target does not see the end")
    answer, mux = await forward(bench)  # frames that mean nothing are passed over
    await mux.send(frame(PSH, 77, b"x"), frame(FIN, 79))
    await mux.echo(await mux.open(), b"still here")
    await over(bench, answer, mux)


@case
async def stalled_target(bench):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        await restart_agent(bench, "--allow", "localhost:%d" % listener.getsockname()[1])
        answer, mux = await forward(bench, listener.getsockname()[1])
        stalled = await mux.open(b"first")
        conn, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(listener), 5)
        other = await mux.open(b"")
        data = random.randbytes(3 << 20)
        await mux.write(stalled, data)
        conn2, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(listener), 5)
        with conn, conn2:
            await mux.write(other, b"passes by")
            loop = asyncio.get_running_loop()
            conn.setblocking(False)
            conn2.setblocking(False)
            check(await asyncio.wait_for(loop.sock_recv(conn2, 100), 5) == b"passes by", "the other stream")
            got, want = b"", b"first" + data
            # Beyond what is kept for it nothing is acknowledged any more; all of it comes once the target reads.
            more = random.randbytes(9 << 20)
            await mux.write(stalled, more)
            await mux.write(other, b"behind it")
            want += more
            while len(got) < len(want):
                got += await asyncio.wait_for(loop.sock_recv(conn, 1 << 20), 5)
            check(got == want, "what the stalled target gets in the end")
            check(await asyncio.wait_for(loop.sock_recv(conn2, 100), 5) == b"behind it", "the other stream")
        await over(bench, answer, mux)


@case
async def agent_cut(bench):
    answer, mux = await forward(bench)
    ids = [await mux.open() for _ in range(2)]
    bench.faults("cut-side=agent,cut-after=150000")
    try:
        for _ in range(8):  # a message at a time: only the last is repeated when it was lost with the socket
            for i in ids:
                await mux.client.repeating(mux.echo(i, random.randbytes(30000)))
    finally:
        bench.faults("off")
    await over(bench, answer, mux)


@case
async def client_cut(bench):
    answer, mux = await forward(bench)
    stream = await mux.open()
    await mux.echo(stream, b"before")
    mux.client.ws.transport.abort()
    _, again = await bench.api("ResumeSession", SessionId=answer["SessionId"])
    await mux.client.open(again)
    await mux.echo(stream, random.randbytes(300000))
    await over(bench, answer, mux)


@case
async def terminated(bench):
    answer, mux = await forward(bench)
    ids = [await mux.open(b"x") for _ in range(3)]
    for i in ids:
        await mux.read(i, 1)
    check((await bench.api("TerminateSession", SessionId=answer["SessionId"]))[0] == 200, "TerminateSession")
    check(await mux.client.output() == "", "an ordinary end")
    for echo in bench.echoes[-3:]:
        await reached(echo, "a target does not see the session's end")


@case
async def keepalive(bench):
    answer, mux = await forward(bench, version="1.2.331.0")  # the last that expects NOP frames
    stream = await mux.open(b"x")
    await mux.read(stream, 1)
    began = time.monotonic()
    while not mux.nops:
        await mux.message()
    check(9 < time.monotonic() - began < 12, "a NOP after %.1f s" % (time.monotonic() - began))
    await mux.send(frame(NOP, 0))
    await mux.echo(stream, b"still here")
    await over(bench, answer, mux)


@case
async def basic(bench):
    answer, c = await start(bench, 22, version="1.1.69.0")
    await c.ready()
    await c.echo(random.randbytes(1 << 20))
    await c.send(1, b"x" * 300000)
    await c.send(10, struct.pack(">I", 1))  # the local program closed its connection
    first = bench.echoes[-1]
    await reached(first, "the target does not see the end of the connection")
    c.data = b""
    await c.send(1, b"again")  # the next one
    got = b""
    while not got.endswith(b"again"):  # what the first connection echoed may still come
        got += (await c.next())[1]
    check(set(got[:-5]) <= {ord("x")}, "other bytes came back")
    check(bench.echoes[-1] is not first, "it was not dialed again")
    await c.send(1, b"bye")
    check(await c.read(10) == b"last words", "what the target sent before its end")
    await reached(bench.echoes[-1], "the target has not ended")
    await c.echo(b"a third one")
    await over(bench, answer, c)


@case
async def basic_refused(bench):
    _, c = await start(bench, 1, version="1.1.0.0")
    await c.ready()
    check(await c.output() == "connection to port 1 refused", "the words")
    answer, c = await start(bench, 22, document=TO_HOST, version="1.0.0.0", host="localhost")
    await (await c.ready()).echo(b"hello")
    await over(bench, answer, c)


@case
async def stock_pace(bench):
    await restart_agent(bench, "--pace", "stock")
    answer, mux = await forward(bench)
    check(answer["MaxPayloadBytes"] == 1024, "MaxPayloadBytes %d" % answer["MaxPayloadBytes"])
    data, began, stream = random.randbytes(300 * 1024), time.monotonic(), await mux.open()
    await mux.echo(stream, data)
    check(time.monotonic() - began > 0.3, "300 messages in %.2f s" % (time.monotonic() - began))
    await over(bench, answer, mux)


def options(bench):
    return "--allow", OTHER_NAME + ":%d" % bench.echo_port, "--allow", "no..such..host:80"


async def run(bench, names):
    await bench.start_echo()
    return await sessions.run_all(bench, names, CASES, *options(bench))


if __name__ == "__main__":
    sys.exit(sessions.main(run))
