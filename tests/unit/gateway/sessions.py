#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Sessions through the real gateway and agent, with a small client and an echo server in the place of sshd.

    tests/unit/gateway/sessions.py BIN [CASE…]

Prints `ok NAME` or `FAIL NAME: reason`; exit status 1 if one failed, 77 without python3-websockets or python3-botocore.
What the client does not do by itself: retransmit. So every byte that arrives shows that the relay and the agent lose nothing.
"""
import asyncio
import ctypes
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request
import uuid

try:
    import websockets
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
except ImportError:
    sys.exit(77)

CASES = []


def case(fn):
    CASES.append(fn)
    return fn


def chosen(cases, names):
    """Those of these names, else those that are this process's share: SHARE=k/n is the k-th of every n (tests/unit/share.h)."""
    if names:
        return [fn for fn in cases if fn.__name__ in names]
    k, n = map(int, os.environ.get("SHARE", "1/1").split("/"))
    return cases[k - 1::n]


def check(ok, what):
    if not ok:
        raise AssertionError(what)


def die_with_parent(files=None):
    """In a child, before it becomes a program; `files`: how many it may open."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


class Bench:
    def __init__(self, bin_dir):
        self.bin, self.dir, self.children, self.ports = bin_dir, tempfile.mkdtemp(prefix="ssm-tun-sessions-"), [], None
        self.state = self.dir + "/gw"
        self.must("ssm-tun-gateway", "init", self.state)
        self.key = self.add_key("demo", "*")
        self.echo_port, self.echoes, self.files = None, [], None
        self.enrol = "open"

    def must(self, *argv):
        r = subprocess.run([os.path.join(self.bin, argv[0]), *argv[1:]], capture_output=True, text=True, timeout=60)
        check(r.returncode == 0, "%s: %s" % (" ".join(argv[:2]), r.stderr))
        return r.stdout

    def add_key(self, name, targets):
        text = self.must("ssm-tun-gateway", "keys", "add", name, "--targets", targets, "--dir", self.state)
        pair = dict(line.split(" = ") for line in text.strip().splitlines())
        return Credentials(pair["aws_access_key_id"], pair["aws_secret_access_key"])

    def spawn(self, log, *argv):
        with open(self.dir + "/" + log, "ab") as f:
            p = subprocess.Popen([os.path.join(self.bin, argv[0]), *argv[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=f, preexec_fn=lambda: die_with_parent(self.files))
        self.children.append(p)
        return p

    def start_gateway(self):
        argv = ["ssm-tun-gateway", "serve", "--dir", self.state, "-v", "--fault", "off", "--enrol", self.enrol]
        for name, port in (self.ports or {"control": 0, "agents": 0, "actions": 0}).items():
            argv += ["--" + name, "127.0.0.1:%d" % port]
        self.gateway = self.spawn("gateway.log", *argv)
        line = self.gateway.stdout.readline()
        check(line, "the gateway did not start")
        self.ports = {k: int(v.rsplit(":", 1)[1]) for k, v in json.loads(line).items()}

    def start_agent(self, *extra):
        self.agent = self.spawn("agent.log", "ssm-tun-agent", "--gateway", "ws://127.0.0.1:%d" % self.ports["agents"], "--state",
                                self.dir + "/agent", "--host-id", "box-1", "--ssh-port", str(self.echo_port), "-v",
                                "--allow", "127.0.0.1:1", *extra)

    async def connected(self, want=True):
        for _ in range(400):
            with urllib.request.urlopen("http://127.0.0.1:%d/agents" % self.ports["actions"]) as f:
                agents = json.load(f)["agents"]
            if any(a["connected"] and a["host_id"] == "box-1" for a in agents) == want:
                return
            await asyncio.sleep(0.03)
        raise AssertionError("the agent is %sconnected" % ("not " if want else ""))

    async def start_echo(self):
        async def serve(reader, writer):
            done = asyncio.Event()
            self.echoes.append(done)
            try:
                while data := await reader.read(65536):
                    if data == b"bye":
                        writer.write(b"last words")
                        break
                    if data[:5] == b"reset":
                        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        writer.transport.abort()
                        break
                    writer.write(data)
                    await writer.drain()
                writer.close()
            except ConnectionError:
                pass
            done.set()
        self.echo = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.echo_port = self.echo.sockets[0].getsockname()[1]

    def faults(self, spec):
        r = urllib.request.Request("http://127.0.0.1:%d/faults" % self.ports["actions"], data=spec.encode(), method="POST")
        with urllib.request.urlopen(r) as f:
            check(f.status == 200, "faults")

    def call(self, op, body, key=None):
        url, data = "https://127.0.0.1:%d/" % self.ports["control"], json.dumps(body).encode()
        r = AWSRequest("POST", url, data=data, headers={"Content-Type": "application/x-amz-json-1.1",
                                                        "X-Amz-Target": "AmazonSSM." + op})
        SigV4Auth(key or self.key, "ssm", "eu-west-1").add_auth(r)
        request = urllib.request.Request(url, data=data, headers=dict(r.headers), method="POST")
        try:
            with urllib.request.urlopen(request, context=self.tls()) as f:
                return f.status, json.load(f)
        except urllib.error.HTTPError as e:
            return e.code, json.load(e)

    async def api(self, op, **body):
        key = body.pop("key", None)
        return await asyncio.get_running_loop().run_in_executor(None, self.call, op, body, key)

    def tls(self):
        return ssl.create_default_context(cafile=self.state + "/ca.pem")

    async def start_session(self, port=22, **changes):
        body = {"Target": "box-1", "DocumentName": "AWS-StartSSHSession", "Parameters": {"portNumber": [str(port)]}}
        body.update(changes)
        status, answer = await self.api("StartSession", **body)
        check(status == 200, "StartSession: %d %r" % (status, answer))
        return answer

    def close(self):
        for p in self.children:
            if p.poll() is None:
                p.kill()
                p.wait()
            p.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def encode(kind, seq, flags, payload_type, payload):
    mid = uuid.uuid4().bytes
    return (struct.pack(">I32sIQqQ", 116, kind.encode().ljust(32), 1, int(time.time() * 1000), seq, flags) + mid[8:] + mid[:8] +
            hashlib.sha256(payload).digest() + struct.pack(">II", payload_type, len(payload)) + payload)


class Closed(Exception):
    pass


class Client:
    """A client's end of a data channel."""
    patience = 15  # seconds for the next message
    version = "1.2.707.0"

    def __init__(self, bench):
        self.bench, self.out, self.expect, self.waiting, self.data = bench, 0, 0, {}, b""

    async def open(self, answer):
        self.ws = await websockets.connect(answer["StreamUrl"], ssl=self.bench.tls(), max_size=None, ping_interval=None)
        await self.ws.send(json.dumps({"MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4()),
                                       "TokenValue": answer["TokenValue"]}))
        return self

    async def send(self, payload_type, payload):
        self.last = encode("input_stream_data", self.out, 0, payload_type, payload)
        await self.ws.send(self.last)
        self.out += 1

    async def repeating(self, what):
        """The result of `what`; each second that it takes the last message is sent again, as it was."""
        task = asyncio.ensure_future(what)
        while not (await asyncio.wait({task}, timeout=1))[0]:
            await self.ws.send(self.last)
        return task.result()

    async def acknowledge(self, kind, seq, mid):
        try:
            await self.ws.send(encode("acknowledge", 0, 3, 0, json.dumps({
                "AcknowledgedMessageType": kind, "AcknowledgedMessageId": str(mid), "AcknowledgedMessageSequenceNumber": seq,
                "IsSequentialMessage": True}).encode()))
        except websockets.ConnectionClosed:
            pass  # what came before the end is still to be read

    async def next(self):
        """The next stream message in order: (payload type, payload). Closed with the Output when the session is over."""
        while self.expect not in self.waiting:
            m = await asyncio.wait_for(self.ws.recv(), self.patience)
            kind, seq = m[4:36].strip(b" \0").decode(), struct.unpack(">q", m[48:56])[0]
            if kind == "channel_closed":
                check(m[:4] == struct.pack(">I", 112), "header of channel_closed")
                raise Closed(json.loads(m[116:])["Output"])
            check(kind != "agent_session_state", "agent_session_state was forwarded")
            if kind != "output_stream_data":
                continue
            await self.acknowledge(kind, seq, uuid.UUID(bytes=m[72:80] + m[64:72]))
            if seq >= self.expect:
                self.waiting[seq] = (struct.unpack(">I", m[112:116])[0], m[120:])
        self.expect += 1
        return self.waiting.pop(self.expect - 1)

    async def ready(self):
        check((await self.next())[0] == 5, "a handshake request")
        return await self.answer_handshake()

    async def answer_handshake(self):
        await self.send(6, json.dumps({"ClientVersion": self.version, "ProcessedClientActions": [
            {"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": None, "Error": ""}], "Errors": None}).encode())
        check((await self.next())[0] == 7, "a handshake complete")
        return self

    async def read(self, n):
        while len(self.data) < n:
            kind, payload = await self.next()
            check(kind == 1, "payload type %d" % kind)
            self.data += payload
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    async def echo(self, data, chunk=65536):
        async def write():
            for i in range(0, len(data), chunk):
                await self.send(1, data[i:i + chunk])
                await asyncio.sleep(0)
        task = asyncio.create_task(write())
        check(await self.read(len(data)) == data, "other bytes came back")
        await task

    async def output(self):
        try:
            while True:
                await self.next()
        except Closed as e:
            return e.args[0]


async def session(bench):
    answer = await bench.start_session()
    return answer, await (await Client(bench).open(answer)).ready()


async def ended(bench, client, answer):
    await client.send(10, struct.pack(">I", 2))
    check(await client.output() == "", "an ordinary end")
    await asyncio.wait_for(client.ws.wait_closed(), 5)
    status, again = await bench.api("ResumeSession", SessionId=answer["SessionId"])
    check(status == 200 and again["TokenValue"] is None, "a resume of what is over: %r" % again)


@case
async def bytes_both_ways(bench):
    answer, c = await session(bench)
    check(answer["MaxPayloadBytes"] == 65536, "MaxPayloadBytes")
    await c.echo(b"SSH-2.0-x\r\n")
    await c.echo(random.randbytes(8 << 20))
    await c.echo(random.randbytes(100000), 777)
    await ended(bench, c, answer)
    await asyncio.wait_for(bench.echoes[-1].wait(), 5)


@case
async def end_of_file(bench):
    _, c = await session(bench)
    await c.send(1, b"bye")
    check(await c.read(10) == b"last words", "what was sent before the end")
    check(await c.output() == "", "an ordinary end")


@case
async def refused_port(bench):
    answer = await bench.start_session(1)
    c = await Client(bench).open(answer)
    began = time.monotonic()
    check(await c.output() == "connection to port 1 refused: is sshd running?", "the words")
    check(time.monotonic() - began < 3, "it took too long")
    answer = await bench.start_session(2)
    check("does not allow" in await (await Client(bench).open(answer)).output(), "a port that is not allowed")


@case
async def bad_requests(bench):
    for want, body in (("TargetNotConnected", {"Target": "nobody"}), ("InvalidDocument", {"DocumentName": None}),
                       ("InvalidDocument", {"DocumentName": "SSM-SessionManagerRunShell"}),
                       ("ValidationException", {"Target": ""}), ("ValidationException", {"Target": 7}),
                       ("ValidationException", {"Parameters": {"portNumber": ["0"]}}),
                       ("ValidationException", {"Parameters": {"portNumber": ["65536"]}}),
                       ("ValidationException", {"Parameters": {"portNumber": "22"}}),
                       ("ValidationException", {"Parameters": {"host": ["x"]}}), ("ValidationException", {"Reason": ""})):
        request = {"Target": "box-1", "DocumentName": "AWS-StartSSHSession"}
        request.update(body)
        status, answer = await bench.api("StartSession", **request)
        check(status == 400 and answer["__type"] == want, "%r: %r" % (body, answer))
    for op in ("ResumeSession", "TerminateSession"):
        status, answer = await bench.api(op, SessionId="demo-00000000000000000")
        check(answer.get("__type") == "DoesNotExistException", "%s: %r" % (op, answer))
    for op, body in (("DescribeInstanceInformation", {"MaxResults": 4}), ("DescribeInstanceInformation", {"MaxResults": 51}),
                     ("DescribeInstanceInformation", {"Filters": {}}), ("DescribeInstanceInformation", {"Filters": [{"Key": "PingStatus"}]}),
                     ("DescribeSessions", {"State": "Active", "MaxResults": 0}), ("DescribeSessions", {}),
                     ("DescribeSessions", {"State": "Active", "Filters": [{"key": "Owner", "value": ["x"]}]}),
                     ("DescribeSessions", {"State": "Active", "Filters": [{"key": "Owner", "value": "x"}] * 11})):
        check((await bench.api(op, **body))[1].get("__type") == "ValidationException", "%s: %r" % (op, body))
    check((await bench.api("Nonsense"))[1]["__type"] == "UnknownOperationException", "an unknown operation")


@case
async def keys_see_their_targets(bench):
    web, box = bench.add_key("web", "web-*"), bench.add_key("box", "box-*")
    request = {"Target": "box-1", "DocumentName": "AWS-StartSSHSession"}
    for target in ("box-1", "nobody"):
        _, answer = await bench.api("StartSession", key=web, **{**request, "Target": target})
        check(answer["__type"] == "AccessDeniedException", "not its target: %r" % answer)
    check((await bench.api("DescribeInstanceInformation", key=web))[1]["InstanceInformationList"] == [], "it sees others'")
    check((await bench.api("GetConnectionStatus", key=web, Target="box-1"))[1]["Status"] == "notconnected", "it sees others'")
    seen = (await bench.api("DescribeInstanceInformation", key=box))[1]["InstanceInformationList"]
    check([i["InstanceId"] for i in seen] == ["box-1"] and seen[0]["PingStatus"] == "Online", "its own: %r" % seen)
    check((await bench.api("GetConnectionStatus", key=box, Target="box-1"))[1]["Status"] == "connected", "its own")
    status, answer = await bench.api("StartSession", key=box, **request)
    check(status == 200, "its own: %r" % answer)
    for op in ("ResumeSession", "TerminateSession"):  # sessions of another key do not exist for it
        check((await bench.api(op, SessionId=answer["SessionId"]))[1]["__type"] == "DoesNotExistException", op)
    check((await bench.api("TerminateSession", key=box, SessionId=answer["SessionId"]))[0] == 200, "its own session")
    bench.must("ssm-tun-gateway", "keys", "remove", "box", "--dir", bench.state)
    _, answer = await bench.api("StartSession", key=box, **request)
    check(answer["__type"] == "UnrecognizedClientException", "a removed key: %r" % answer)


@case
async def tokens(bench):
    answer, c = await session(bench)
    for token in (answer["TokenValue"], "x" * 43, ""):  # used, wrong, none
        other = await Client(bench).open({**answer, "TokenValue": token})
        await asyncio.wait_for(other.ws.wait_closed(), 5)
        check(other.ws.close_code == 1008, "closed by %r" % other.ws.close_code)
    await c.echo(b"still here")
    _, again = await bench.api("ResumeSession", SessionId=answer["SessionId"])
    fresh = await Client(bench).open(again)
    await asyncio.wait_for(c.ws.wait_closed(), 5)  # replaced
    fresh.out, fresh.expect = c.out, c.expect
    await fresh.echo(b"here now")
    await ended(bench, fresh, answer)


@case
async def no_open_message(bench):
    answer = await bench.start_session()
    ws = await websockets.connect(answer["StreamUrl"], ssl=bench.tls(), ping_interval=None)
    await (await ws.ping())  # control frames before are fine
    began = time.monotonic()
    await asyncio.wait_for(ws.wait_closed(), 15)
    check(9 < time.monotonic() - began < 12, "after %.1f s" % (time.monotonic() - began))
    c = await (await Client(bench).open(answer)).ready()  # the token was not used by that
    await c.echo(b"x")
    await ended(bench, c, answer)


@case
async def client_cut(bench):
    answer, c = await session(bench)
    await c.echo(b"before")
    c.ws.transport.abort()
    _, again = await bench.api("ResumeSession", SessionId=answer["SessionId"])
    await c.open(again)
    await c.echo(random.randbytes(300000))
    await ended(bench, c, answer)


@case
async def agent_cut(bench):
    answer, c = await session(bench)
    bench.faults("cut-side=agent,cut-after=200000")
    try:
        for _ in range(8):  # one message at a time: what is lost with the socket going up nobody here repeats
            data = random.randbytes(50000)
            await c.send(1, data)
            try:
                check(await asyncio.wait_for(c.read(len(data)), 10) == data, "other bytes came back")
            except asyncio.TimeoutError:
                raise AssertionError("the session did not come back") from None
    finally:
        bench.faults("off")
    await ended(bench, c, answer)


@case
async def terminated_by_api(bench):
    answer, c = await session(bench)
    for _ in range(2):
        check((await bench.api("TerminateSession", SessionId=answer["SessionId"]))[0] == 200, "TerminateSession")
    check(await c.output() == "", "an ordinary end")
    await asyncio.wait_for(bench.echoes[-1].wait(), 5)
    _, history = await bench.api("DescribeSessions", State="History")
    check(answer["SessionId"] in [s["SessionId"] for s in history["Sessions"]], "not in the history")


@case
async def gateway_killed(bench):
    answer, c = await session(bench)
    await c.echo(b"before")
    bench.gateway.kill()
    bench.gateway.wait()
    bench.start_gateway()
    await bench.connected()
    _, again = await bench.api("ResumeSession", SessionId=answer["SessionId"])
    check(again.get("TokenValue"), "not resumed: %r" % again)
    await c.open(again)
    await c.echo(random.randbytes(300000))
    await ended(bench, c, answer)


@case
async def agent_killed(bench):
    _, c = await session(bench)
    bench.agent.kill()
    bench.agent.wait()
    began = time.monotonic()
    check(await c.output() == "agent gone", "the words")
    check(2.9 < time.monotonic() - began < 4.5, "after %.1f s" % (time.monotonic() - began))
    bench.start_agent()
    await bench.connected()


@case
async def agent_restarted(bench):
    _, c = await session(bench)
    bench.agent.kill()
    bench.agent.wait()
    began = time.monotonic()
    bench.start_agent()
    check(await c.output() == "agent gone", "the words")
    check(time.monotonic() - began < 2.5, "another boot id tells at once, not after %.1f s" % (time.monotonic() - began))
    await bench.connected()


@case
async def removed(bench):
    """An operator removes the host: with its next heartbeat (20 s) its sessions end, and it registers anew."""
    _, c = await session(bench)
    bench.must("ssm-tun-gateway", "agents", "remove", "box-1", "--dir", bench.state)
    await c.echo(b"until then")
    c.patience = 30
    check(await c.output() == "the host was removed", "the words")
    await asyncio.wait_for(bench.echoes[-1].wait(), 5)
    await bench.connected()


@case
async def stock_pace(bench):
    bench.agent.terminate()
    check(bench.agent.wait(10) == 0, "the agent's exit status")
    bench.start_agent("--pace", "stock")
    await bench.connected()
    answer, c = await session(bench)
    check(answer["MaxPayloadBytes"] == 1024, "MaxPayloadBytes %d" % answer["MaxPayloadBytes"])
    data, began = random.randbytes(400 * 1024), time.monotonic()
    for i in range(0, len(data), 1024):
        await c.send(1, data[i:i + 1024])
    got, most = b"", 0
    while len(got) < len(data):
        payload = (await c.next())[1]
        most = max(most, len(payload))
        got += payload
    check(got == data and most <= 1024, "messages of %d bytes" % most)
    check(time.monotonic() - began > 0.4, "400 messages in %.2f s" % (time.monotonic() - began))
    await ended(bench, c, answer)


async def run_all(bench, names, cases, *agent_options):
    bench.start_gateway()
    bench.start_agent(*agent_options)
    await bench.connected()
    failed = 0
    for fn in chosen(cases, names):
        try:
            await asyncio.wait_for(fn(bench), 60)
            print("ok " + fn.__name__, flush=True)
        except Exception as e:
            if not isinstance(e, AssertionError):
                traceback.print_exc()
            print("FAIL %s: %s" % (fn.__name__, e if isinstance(e, AssertionError) else repr(e)), flush=True)
            failed += 1
    for p in (bench.agent, bench.gateway):
        p.terminate()
        status = await asyncio.get_running_loop().run_in_executor(None, p.wait, 20)
        if status != 0:
            print("FAIL exit status %d" % status)
            failed += 1
    if failed:
        for log in ("gateway.log", "agent.log"):
            print("--- " + log + "\n" + open(bench.dir + "/" + log, errors="replace").read()[-6000:])
    return failed


async def run(bench, names):
    await bench.start_echo()
    return await run_all(bench, names, CASES)


def main(run):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(sys.argv[1])
    try:
        return 1 if asyncio.run(run(bench, sys.argv[2:])) else 0
    finally:
        bench.close()


if __name__ == "__main__":
    sys.exit(main(run))
