# SPDX-License-Identifier: MIT
"""A stock amazon-ssm-agent, played call by call and frame by frame: what stock_agent.py drives the gateway with.

The calls, their signed headers and the messages are those of amazon-ssm-agent 3.3 as it was seen on the wire.
"""
import asyncio
import hashlib
import http.client
import json
import struct
import uuid
import xml.etree.ElementTree as ElementTree

from sessions import Bench, Client, check, encode  # exits 77 itself
import websockets
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ID = "mi-0123456789abcdef0"
USER_AGENT = "aws-sdk-go/1.51.20 (go1.23.5; linux; amd64) amazon-ssm-agent/3.3.1142.0"


class Message:
    """A binary message, taken apart."""

    def __init__(self, raw):
        self.raw, self.header_len = raw, struct.unpack(">I", raw[:4])[0]
        self.kind = raw[4:36].strip(b" \0").decode()
        self.seq, self.flags = struct.unpack(">qQ", raw[48:64])
        self.id = str(uuid.UUID(bytes=raw[72:80] + raw[64:72]))
        self.payload_type = struct.unpack(">I", raw[112:116])[0] if self.header_len == 116 else 0
        self.payload = raw[self.header_len + 4:]
        check(raw[80:112] == hashlib.sha256(self.payload).digest(), "the digest of " + self.kind)

    def json(self):
        return json.loads(self.payload)


class StockBench(Bench):
    def __init__(self, bin_dir):
        super().__init__(bin_dir)
        self.context = None
        self.agent_key = self.add_agent_key("agents", "mi-*")

    def add_agent_key(self, name, targets):
        text = self.must("ssm-tun-gateway", "keys", "add", name, "--agent", "--targets", targets, "--dir", self.state)
        pair = dict(line.split(" = ") for line in text.strip().splitlines())
        return Credentials(pair["aws_access_key_id"], pair["aws_secret_access_key"])

    def tls(self):
        if not self.context:
            self.context = super().tls()
        return self.context

    def restart_gateway(self):
        self.gateway.kill()
        self.gateway.wait()
        self.start_gateway()

    def url(self, path):
        return "https://127.0.0.1:%d%s" % (self.ports["control"], path)

    def signed(self, method, path, key, body=None, service="ssmmessages", headers=None):
        r = AWSRequest(method, self.url(path), data=body, headers=headers or {})
        SigV4Auth(key, service, "us-east-1").add_auth(r)
        return dict(r.headers)

    def http(self, method, path, headers, body=b""):
        """(status, headers, body); a connection of its own, as Go's client without keep-alive."""
        c = http.client.HTTPSConnection("127.0.0.1", self.ports["control"], context=self.tls(), timeout=40)
        try:
            c.request(method, path, body=body, headers=headers)
            r = c.getresponse()
            return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        finally:
            c.close()

    async def ask(self, *args, **kwargs):
        return await asyncio.get_running_loop().run_in_executor(None, lambda: self.http(*args, **kwargs))


async def answered(ws):
    """Waits for a pong. One ping may stay without: a server need not answer one that comes while it answers another."""
    while not (await asyncio.wait({await ws.ping()}, timeout=2))[0]:
        check(ws.open, "the socket was closed")


class Agent:
    """What amazon-ssm-agent and its session workers do, one agent."""

    def __init__(self, bench, id=ID, key=None):
        self.bench, self.id, self.key = bench, id, key or bench.agent_key
        self.control, self.inbox, self.reader = None, asyncio.Queue(), None

    # ---- calls

    async def aws(self, target, body, service="ssm", key=None):
        data = json.dumps(body, separators=(",", ":")).encode()
        headers = self.bench.signed("POST", "/", key or self.key, data, service, {
            "Content-Length": str(len(data)), "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target})
        check("content-length;content-type;host;x-amz-date;x-amz-target" in headers["Authorization"], "signed as Go's SDK does")
        headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"})
        status, _, text = await self.bench.ask("POST", "/", headers, data)
        return status, json.loads(text)

    async def mgs(self, path, body=None, key=None, service="ssmmessages"):
        data = json.dumps(body if body is not None else {"MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4())}).encode()
        headers = self.bench.signed("POST", path, key or self.key, data, service, {"Content-Type": "application/json"})
        headers.update({"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"})
        return await self.bench.ask("POST", path, headers, data)

    @staticmethod
    def token_of(answer):
        status, headers, text = answer
        check(status == 201 and headers["content-type"] == "text/xml", "%d: %r" % (status, text))
        root = ElementTree.fromstring(text)
        check(root.findtext("MessageSchemaVersion") == "1.0", "MessageSchemaVersion: %r" % text)
        return root.findtext("TokenValue")

    async def update(self, **more):
        return await self.aws("AmazonSSM.UpdateInstanceInformation", {
            "AgentName": "amazon-ssm-agent", "AgentVersion": "3.3.1142.0", "InstanceId": self.id, "PlatformType": "Linux", **more})

    async def dial(self, path, key=None):
        url = self.bench.url(path)
        headers = self.bench.signed("GET", path, key or self.key)
        check("SignedHeaders=host;x-amz-date" in headers["Authorization"], "signed as the agent does")
        return await websockets.connect("wss" + url[5:], ssl=self.bench.tls(), max_size=None, ping_interval=None,
                                        extra_headers={k: v for k, v in headers.items() if k.lower() != "host"})

    async def control_token(self):
        return self.token_of(await self.mgs("/v1/control-channel/" + self.id))

    async def control_open(self, token=None, key=None):
        ws = await self.dial("/v1/control-channel/%s?role=subscribe&stream=input" % self.id, key)
        await ws.ping("keepalive")  # may come before the open message
        await ws.send(json.dumps({"Cookie": None, "MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4()),
                                  "TokenValue": token or await self.control_token(), "AgentVersion": "3.3.1142.0",
                                  "PlatformType": "linux"}))
        return ws

    async def connect(self):
        self.control = await self.control_open()
        await answered(self.control)  # which comes behind whatever the open message led to
        self.reader = asyncio.create_task(self._read(self.control))

    async def _read(self, ws):
        try:
            async for raw in ws:
                await self.inbox.put(Message(raw))
        except websockets.ConnectionClosed:
            pass

    async def boot(self):
        """In the order in which the agent was seen to call."""
        check((await self.update()) == (200, {}), "the empty ping")
        await self.connect()
        status, answer = await self.update(AgentStatus="Active", AvailabilityZone="", AvailabilityZoneId="", ComputerName="vm",
                                           IPAddress="192.0.2.7", PlatformName="Debian GNU/Linux", PlatformVersion="12",
                                           SSMConnectionChannel="ssmmessages")
        check((status, answer) == (200, {}), "the full ping: %r" % answer)
        answer = await self.aws("AmazonSSM.ListInstanceAssociations", {"InstanceId": self.id, "MaxResults": 20})
        check(answer == (200, {"Associations": []}), "ListInstanceAssociations: %r" % (answer,))
        return self

    async def stop(self):
        if self.control:
            self.control.transport.abort()
            await self.control.wait_closed()
            self.reader.cancel()

    # ---- control channel

    async def next(self, kind, timeout=5):
        m = await asyncio.wait_for(self.inbox.get(), timeout)
        check(m.kind == kind, "%s instead of %s" % (m.kind, kind))
        return m

    async def started(self):
        m = await self.next("interactive_shell")
        check(m.header_len == 116 and m.payload_type == 0, "the header")
        outer = m.json()
        check(set(outer) == {"Content", "TaskId", "Topic", "SchemaVersion"}, "members %r" % list(outer))
        check(outer["Topic"] == "aws.ssm.startSession" and outer["SchemaVersion"] == 1, "%r" % outer)
        task = json.loads(outer["Content"])
        check(task["SessionId"] == outer["TaskId"], "TaskId")
        return m, task

    async def complete(self, session_id, output="", status="Success", retry=1, raw=None):
        raw = raw or encode("agent_task_complete", 0, 0, 0, json.dumps({
            "SchemaVersion": 1, "TaskId": session_id, "Topic": "agent_task_complete", "FinalTaskStatus": status,
            "IsRoutingFailure": False, "AwsAccountId": "", "InstanceId": self.id, "Output": output, "S3Bucket": "",
            "S3UrlSuffix": "", "CwlGroup": "", "CwlStream": "", "RetryNumber": retry}, separators=(",", ":")).encode())
        await self.control.send(raw)
        ack = await self.next("agent_task_acknowledge")
        check(ack.json() == {"SchemaVersion": 1, "MessageId": Message(raw).id, "TaskId": session_id,
                             "Topic": "agent_task_complete"}, "the acknowledgement: %r" % ack.payload)
        return raw


class Worker:
    """A session worker: the agent's end of a data channel, with an echo behind it."""

    def __init__(self, agent, session_id):
        self.agent, self.session_id, self.out, self.expect, self.echo, self.closed = agent, session_id, 0, 0, True, None
        self.path = "/v1/data-channel/" + session_id

    async def create(self):
        return Agent.token_of(await self.agent.mgs(self.path, {"MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4()),
                                                               "ClientId": ""}))

    async def open(self, token=None, signed=True):
        token = token or await self.create()
        path = self.path + "?role=publish_subscribe"
        if signed:
            self.ws = await self.agent.dial(path)
        else:
            self.ws = await websockets.connect("wss" + self.agent.bench.url(path)[5:], ssl=self.agent.bench.tls(), ping_interval=None)
        await self.ws.send(json.dumps({"MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4()), "TokenValue": token,
                                       "ClientInstanceId": self.agent.id, "ClientId": ""}))
        return self

    async def send(self, payload_type, payload):
        await self.ws.send(encode("output_stream_data", self.out, 1 if self.out == 0 else 0, payload_type, payload))
        self.out += 1

    async def state(self, text):
        await self.ws.send(encode("agent_session_state", 0, 3, 0, json.dumps(
            {"SchemaVersion": 1, "SessionState": text, "SessionId": self.session_id}).encode()))

    async def next(self):
        """The next new stream message, acknowledged; None at the socket's end or at channel_closed."""
        while True:
            try:
                m = Message(await asyncio.wait_for(self.ws.recv(), 15))
            except websockets.ConnectionClosed:
                return None
            if m.kind == "channel_closed":
                self.closed = m
                return None
            if m.kind != "input_stream_data":
                continue
            await self.ws.send(encode("acknowledge", 0, 3, 0, json.dumps({
                "AcknowledgedMessageType": m.kind, "AcknowledgedMessageId": m.id, "AcknowledgedMessageSequenceNumber": m.seq,
                "IsSequentialMessage": True}).encode()))
            if m.seq == self.expect:
                self.expect += 1
                return m

    async def handshake(self, port="22"):
        await self.state("Connected")
        await self.send(5, json.dumps({"AgentVersion": "3.3.1142.0", "RequestedClientActions": [
            {"ActionType": "SessionType", "ActionParameters": {"SessionType": "Port", "Properties": {"portNumber": port}}}]}).encode())
        m = await self.next()
        check(m.payload_type == 6, "a handshake response")
        await self.send(7, b'{"HandshakeTimeToComplete":1018567,"CustomerMessage":""}')

    async def run(self):
        """Echoes until flag 2, the end of the socket, or channel_closed; then as the agent ends."""
        while (m := await self.next()) and not (m.payload_type == 10 and m.payload == b"\0\0\0\2"):
            for i in range(0, len(m.payload), 1024):
                await self.send(1, m.payload[i:i + 1024])
        return m


async def begin(bench, agent, **changes):
    """StartSession to a stock agent, up to the open data channels: (answer, client, worker)."""
    answer = await bench.start_session(**{"Target": agent.id, **changes})
    _, task = await agent.started()
    check(task["SessionId"] == answer["SessionId"], "the session id")
    worker, client = await Worker(agent, answer["SessionId"]).open(), await Client(bench).open(answer)
    ready = asyncio.create_task(client.ready())
    await worker.handshake()
    await asyncio.wait_for(ready, 10)
    return answer, client, worker


async def expect_close(ws, code, seconds=5):
    await asyncio.wait_for(ws.wait_closed(), seconds)
    check(ws.close_code == code, "closed by %r, not %r" % (ws.close_code, code))


async def refused(coroutine, status):
    try:
        ws = await coroutine
    except websockets.InvalidStatusCode as e:
        check(e.status_code == status, "refused by %d" % e.status_code)
    else:
        await ws.close()
        raise AssertionError("the upgrade was accepted")
