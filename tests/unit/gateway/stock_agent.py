#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The gateway as the service of a stock amazon-ssm-agent, which stock_peer.py plays.

    tests/unit/gateway/stock_agent.py BIN [CASE…]

Prints `ok NAME` or `FAIL NAME: reason`; exit status 1 if one failed, 77 without python3-websockets or python3-botocore.
"""
import asyncio
import json
import random
import signal
import struct
import sys
import time
import traceback
import urllib.error
import urllib.request
import uuid
import xml.etree.ElementTree as ElementTree

sys.dont_write_bytecode = True

from sessions import Client, Closed, check, chosen, encode, session  # noqa: E402  (exits 77 itself)
from stock_peer import ID, Agent, StockBench, Worker, answered, begin, expect_close, refused  # noqa: E402
from botocore.credentials import Credentials  # noqa: E402

CASES = []
SSH = "AWS-StartSSHSession"
INPUTS = {"s3BucketName": "", "s3KeyPrefix": "", "s3EncryptionEnabled": False, "cloudWatchLogGroupName": "",
          "cloudWatchEncryptionEnabled": False, "kmsKeyId": "", "runAsEnabled": False, "runAsDefaultUser": "",
          "shellProfile": {"linux": "", "windows": ""}}


def case(fn):
    CASES.append(fn)
    return fn


@case
async def boot(bench):
    began = time.monotonic()
    request_id = str(uuid.uuid4())
    agent = Agent(bench)
    check((await agent.update()) == (200, {}), "the empty ping")
    seen = (await bench.api("DescribeInstanceInformation"))[1]["InstanceInformationList"]
    check((ID, "ConnectionLost") in [(i["InstanceId"], i["PingStatus"]) for i in seen], "before the control channel: %r" % seen)
    poll = asyncio.create_task(agent.aws("EC2WindowsMessageDeliveryService.GetMessages", {
        "Destination": ID, "MessagesRequestId": request_id, "VisibilityTimeoutInSeconds": 10}, "ec2messages"))
    await agent.boot()
    info = [i for i in (await bench.api("DescribeInstanceInformation"))[1]["InstanceInformationList"] if i["InstanceId"] == ID][0]
    want = {"InstanceId": ID, "PingStatus": "Online", "AgentVersion": "3.3.1142.0", "PlatformType": "Linux", "ComputerName": "vm",
            "PlatformName": "Debian GNU/Linux", "PlatformVersion": "12", "IPAddress": "192.0.2.7", "ResourceType": "ManagedInstance"}
    check({k: info.get(k) for k in want} == want, "the instance: %r" % info)
    for key, values, n in (("PingStatus", ["Online"], 2), ("PlatformTypes", ["Linux"], 2), ("InstanceIds", [ID], 1),
                           ("AgentVersion", ["3.3.1142.0"], 1)):
        seen = (await bench.api("DescribeInstanceInformation", Filters=[{"Key": key, "Values": values}]))[1]
        check(len(seen["InstanceInformationList"]) == n, "filter %s: %r" % (key, seen))
    check((await bench.api("GetConnectionStatus", Target=ID))[1]["Status"] == "connected", "GetConnectionStatus")
    await agent.stop()
    status = None
    for _ in range(100):
        status = (await bench.api("GetConnectionStatus", Target=ID))[1]["Status"]
        if status == "notconnected":
            break
        await asyncio.sleep(0.02)
    check(status == "notconnected", "after the end of the control channel")
    # Asked again, the earlier poll is answered at once. How long the last one waits is shown by `bounds`.
    again = asyncio.create_task(agent.aws("EC2WindowsMessageDeliveryService.GetMessages", {
        "Destination": ID, "MessagesRequestId": "2", "VisibilityTimeoutInSeconds": 10}, "ec2messages"))
    status, answer = await asyncio.wait_for(poll, 5)
    check(answer == {"Destination": ID, "Messages": [], "MessagesRequestId": request_id}, "%d: %r" % (status, answer))
    check(time.monotonic() - began < 15, "the earlier poll waited too long")
    again.cancel()


@case
async def unknown_calls(bench):
    agent = Agent(bench)
    for target, service in (("AmazonSSM.PutInventory", "ssm"), ("AmazonSSM.RequestManagedInstanceRoleToken", "ssm"),
                            ("EC2WindowsMessageDeliveryService.AcknowledgeMessage", "ec2messages")):
        status, answer = await agent.aws(target, {"InstanceId": ID}, service)
        check(status == 400 and answer["__type"] == "UnknownOperationException", "%s: %d %r" % (target, status, answer))


@case
async def bytes_both_ways(bench):
    agent = await Agent(bench).boot()
    answer = await bench.start_session(2222, Target=ID)
    check(answer["MaxPayloadBytes"] == 1024, "MaxPayloadBytes %r" % answer["MaxPayloadBytes"])
    _, task = await agent.started()
    check(task == {
        "DocumentName": SSH, "SessionId": answer["SessionId"], "RunAsUser": "", "Parameters": {"portNumber": "2222"},
        "SessionOwner": "arn:aws:iam::000000000000:user/demo", "DocumentContent": {
            "schemaVersion": "1.0", "description": "", "sessionType": "Port", "inputs": INPUTS,
            "parameters": {"portNumber": {"type": "String", "default": "22", "description": ""}},
            "properties": {"portNumber": "{{ portNumber }}"}}}, "the task: %r" % task)
    worker, client = await Worker(agent, answer["SessionId"]).open(), await Client(bench).open(answer)
    ready = asyncio.create_task(client.ready())
    await worker.handshake()
    await ready
    run = asyncio.create_task(worker.run())
    await client.echo(b"SSH-2.0-x\r\n")
    await client.echo(random.randbytes(1 << 20), 1024)
    await client.echo(random.randbytes(300000), 65536)
    await worker.state("Terminating")  # never forwarded: Client checks it
    await client.send(10, struct.pack(">I", 2))
    check((await run).payload_type == 10, "flag 2 at the agent")
    worker.ws.transport.abort()
    await agent.complete(answer["SessionId"])
    check(await client.output() == "", "an ordinary end")
    await asyncio.wait_for(client.ws.wait_closed(), 5)
    check(agent.inbox.empty(), "the agent is told about what it ended itself")
    _, again = await bench.api("ResumeSession", SessionId=answer["SessionId"])
    check(again["TokenValue"] is None, "a resume of what is over: %r" % again)
    _, history = await bench.api("DescribeSessions", State="History")
    check([s["DocumentName"] for s in history["Sessions"] if s["SessionId"] == answer["SessionId"]] == [SSH], "the history")
    await agent.stop()


@case
async def failed_by_the_agent(bench):
    agent = await Agent(bench).boot()
    answer = await bench.start_session(Target=ID)
    await agent.started()
    client = await Client(bench).open(answer)
    raw = await agent.complete(answer["SessionId"], "Encountered error while initiating handshake. no\x1b[31m", "Failed")
    check(await client.output() == "Encountered error while initiating handshake. no\\x1b[31m", "the words, made harmless")
    for _ in range(2):  # the same message again, as if the acknowledgement was lost; and another end of the same session
        await agent.complete(answer["SessionId"], raw=raw)
    await agent.complete(answer["SessionId"], "other words", "Cancelled", 2)
    await agent.complete("demo-00000000000000000", "of a session that never was")
    _, history = await bench.api("DescribeSessions", State="History")
    check(len([s for s in history["Sessions"] if s["SessionId"] == answer["SessionId"]]) == 1, "the history")
    await agent.stop()


@case
async def last_bytes_before_the_end(bench):
    """agent_task_complete overtakes what is still in the data socket: the client gets all of it, and then the end."""
    agent = await Agent(bench).boot()
    answer, client, worker = await begin(bench, agent)
    await agent.complete(answer["SessionId"])
    for i in range(50):
        await worker.send(1, b"%04d" % i)
    await worker.ws.close()
    check(await client.read(200) == b"".join(b"%04d" % i for i in range(50)), "the bytes before the end")
    check(await client.output() == "", "the end")
    await agent.stop()


@case
async def an_end_without_the_sockets_end(bench):
    """The agent says that the session is over and its data socket stays: five seconds, no more."""
    agent = await Agent(bench).boot()
    answer, client, worker = await begin(bench, agent)
    began = time.monotonic()
    await agent.complete(answer["SessionId"], "words")
    check(await client.output() == "words", "the end")
    check(4.5 < time.monotonic() - began < 7, "after %.1f s" % (time.monotonic() - began))
    await expect_close(worker.ws, 1000, 15)
    await agent.stop()


@case
async def terminated_by_api(bench):
    agent = await Agent(bench).boot()
    answer, client, worker = await begin(bench, agent)
    check((await bench.api("TerminateSession", SessionId=answer["SessionId"]))[0] == 200, "TerminateSession")
    for m in (await agent.next("channel_closed"), (await worker.next(), worker.closed)[1]):
        check(m.json()["SessionId"] == answer["SessionId"] and m.json()["DestinationId"] == ID, "channel_closed: %r" % m.payload)
        check(m.json()["SchemaVersion"] == 1 and m.json()["CreatedDate"].isdigit(), "its types")
    check(await client.output() == "", "an ordinary end")
    check(worker.ws.open, "the data socket was closed before the agent could end")
    for path in (worker.path, "/v1/data-channel/demo-00000000000000000", "/v1/data-channel/x%20y"):
        status, headers, text = await agent.mgs(path)
        check(status == 400 and b"Session is already terminated" in text, "%s: %d %r" % (path, status, text))
        ElementTree.fromstring(text)
    worker.ws.transport.abort()
    await agent.complete(answer["SessionId"], "", "Cancelled")
    await agent.stop()


@case
async def never_answered(bench):
    """The agent drops interactive_shell: the same message comes again after 2 s, and not any more once it answers."""
    agent = await Agent(bench).boot()
    answer = await bench.start_session(Target=ID)
    first, _ = await agent.started()
    began = time.monotonic()
    again, _ = await agent.started()
    check(1.8 < time.monotonic() - began < 3 and again.raw == first.raw, "the repetition")
    client, worker = await Client(bench).open(answer), await Worker(agent, answer["SessionId"]).open()
    await asyncio.sleep(4.5)
    check(agent.inbox.empty(), "repeated although the agent has answered")
    worker.ws.transport.abort()
    await agent.complete(answer["SessionId"])
    check(await client.output() == "", "the end")
    answer = await bench.start_session(Target=ID)
    await agent.started()
    await bench.api("TerminateSession", SessionId=answer["SessionId"])
    await agent.next("channel_closed")
    await asyncio.sleep(2.5)
    check(agent.inbox.empty(), "repeated although the session is over")
    await agent.stop()


@case
async def agents_socket_cut(bench):
    agent = await Agent(bench).boot()
    answer, client, worker = await begin(bench, agent)
    run = asyncio.create_task(worker.run())
    await client.echo(b"before")
    for _ in range(3):
        worker.ws.transport.abort()
        await run
        check(worker.closed is None, "channel_closed")
        await worker.open()
        run = asyncio.create_task(worker.run())
        await client.echo(random.randbytes(100000), 1024)
    old = worker.ws  # a newer socket replaces one that is still there
    spare = await worker.create()
    newest = Worker(agent, answer["SessionId"])
    newest.out, newest.expect = worker.out, worker.expect
    await newest.open(spare)
    await expect_close(old, 1000)
    await run
    run = asyncio.create_task(newest.run())
    await client.echo(b"after")
    await expect_close((await Worker(agent, answer["SessionId"]).open(spare)).ws, 1008)  # used already
    first, second = await newest.create(), await newest.create()
    await expect_close((await Worker(agent, answer["SessionId"]).open(first)).ws, 1008)  # replaced by the second
    check(newest.ws.open and second != first, "what was refused changed something")
    newest.ws.transport.abort()
    await agent.complete(answer["SessionId"])
    check(await client.output() == "", "the end")
    await agent.stop()


@case
async def control_channel_replaced(bench):
    agent = await Agent(bench).boot()
    answer, client, worker = await begin(bench, agent)
    run = asyncio.create_task(worker.run())
    old, reader = agent.control, agent.reader
    await agent.connect()
    await expect_close(old, 1000)
    await reader
    check((await bench.api("GetConnectionStatus", Target=ID))[1]["Status"] == "connected", "GetConnectionStatus")
    await client.echo(b"still here")
    # The main agent restarts: its worker and the session live on.
    await agent.stop()
    await asyncio.sleep(4)
    await client.echo(b"and here")
    await agent.connect()
    await bench.api("TerminateSession", SessionId=answer["SessionId"])
    await agent.next("channel_closed")
    await run
    check(await client.output() == "", "the end")
    await agent.stop()


@case
async def agent_gone(bench):
    agent = await Agent(bench).boot()
    _, client, worker = await begin(bench, agent)
    began = time.monotonic()
    worker.ws.transport.abort()
    await agent.stop()
    check(await client.output() == "agent gone", "the words")
    check(2.9 < time.monotonic() - began < 4.5, "after %.1f s" % (time.monotonic() - began))
    status, answer = await bench.api("StartSession", Target=ID, DocumentName=SSH)
    check(answer["__type"] == "TargetNotConnected", "%d %r" % (status, answer))


@case
async def agent_gives_up_its_socket(bench):
    """The data socket is gone and the control channel lives: the worker has 20 s, then the session ends."""
    agent = await Agent(bench).boot()
    answer, client, worker = await begin(bench, agent)
    worker.ws.transport.abort()
    await asyncio.sleep(5)
    await worker.open()  # in time: the next loss has its own 20 s
    run = asyncio.create_task(worker.run())
    await client.echo(b"back")
    worker.ws.transport.abort()
    await run
    began, client.patience = time.monotonic(), 30
    check(await client.output() == "the agent did not reopen its data channel", "the words")
    check(19 < time.monotonic() - began < 23, "after %.1f s" % (time.monotonic() - began))
    check((await agent.next("channel_closed")).json()["SessionId"] == answer["SessionId"], "the agent is told")
    await agent.stop()


@case
async def gateway_killed(bench):
    agent = await Agent(bench).boot()
    answer, client, worker = await begin(bench, agent)
    run = asyncio.create_task(worker.run())
    await client.echo(b"before")
    bench.restart_gateway()
    await run
    await worker.open()
    run = asyncio.create_task(worker.run())
    _, again = await bench.api("ResumeSession", SessionId=answer["SessionId"])
    await client.open(again)
    await client.echo(random.randbytes(100000), 1024)
    agent.reader.cancel()
    await agent.connect()
    await bench.api("TerminateSession", SessionId=answer["SessionId"])
    await agent.next("channel_closed")
    await run
    await agent.stop()


@case
async def documents(bench):
    agent = await Agent(bench).boot()
    forward = {"portNumber": "{{ portNumber }}", "type": "LocalPortForwarding", "localPortNumber": "{{ localPortNumber }}"}
    command = {"commands": "{{ command }}", "runAsElevated": False}
    for name, parameters, kind, properties in (
            (SSH, {}, "Port", {"portNumber": "{{ portNumber }}"}),
            ("AWS-StartPortForwardingSession", {"portNumber": ["65535"], "localPortNumber": ["0"]}, "Port", forward),
            ("AWS-StartPortForwardingSessionToRemoteHost", {"portNumber": ["1"], "host": ["db.example.net"]}, "Port",
             {**forward, "host": "{{ host }}"}),
            ("SSM-SessionManagerRunShell", {}, "Standard_Stream", None), (None, {}, "Standard_Stream", None),
            ("AWS-StartInteractiveCommand", {"command": ["top -b \"x\" \\ \n {{ y }}"]}, "InteractiveCommands",
             {"linux": command, "macos": command, "windows": command}),
            ("AWS-StartNonInteractiveCommand", {"command": ["id"]}, "NonInteractiveCommands",
             {s: {**command, "separateOutputStream": True} for s in ("linux", "macos", "windows")})):
        answer = await bench.start_session(**{"Target": ID, "DocumentName": name, "Parameters": parameters})
        _, task = await agent.started()
        content = task["DocumentContent"]
        check(task["DocumentName"] == (name or "SSM-SessionManagerRunShell"), "the name %r" % task["DocumentName"])
        check(content["sessionType"] == kind and content.get("properties") == properties, "%s: %r" % (name, content))
        check(content["inputs"] == INPUTS and content["schemaVersion"] == "1.0", "%s: %r" % (name, content))
        check(task["Parameters"] == {k: v[0] for k, v in parameters.items()}, "strings: %r" % task["Parameters"])
        check(all(isinstance(p.get("default", ""), str) and p["type"] == "String" for p in content["parameters"].values()),
              "%s: %r" % (name, content["parameters"]))
        await bench.api("TerminateSession", SessionId=answer["SessionId"])
        await agent.next("channel_closed")
    pf, rh = "AWS-StartPortForwardingSession", "AWS-StartPortForwardingSessionToRemoteHost"
    for want, name, parameters in (
            *(("ValidationException", SSH, {"portNumber": v}) for v in (["0"], ["65536"], ["022"], ["x"], [""], [" 1"], ["1 "],
                                                                        ["+1"], "22", [22], [], ["1", "2"], None, ["99999999999"])),
            ("ValidationException", SSH, {"localPortNumber": ["1"]}), ("ValidationException", SSH, ["portNumber"]),
            ("ValidationException", pf, {"localPortNumber": ["65536"]}), ("ValidationException", pf, {"host": ["a"]}),
            ("ValidationException", rh, {"host": [""]}), ("ValidationException", rh, {"host": ["a b"]}),
            ("ValidationException", rh, {"host": ["a" * 256]}), ("ValidationException", rh, {"host": ["a\n"]}),
            ("ValidationException", "AWS-StartInteractiveCommand", {}),
            ("ValidationException", "AWS-StartInteractiveCommand", {"command": [""]}),
            ("ValidationException", "AWS-StartNonInteractiveCommand", {"command": ["x" * 65536]}),
            ("ValidationException", "SSM-SessionManagerRunShell", {"command": ["x"]}),
            ("InvalidDocument", "AWS-RunShellScript", {}), ("ValidationException", "x", {})):
        status, answer = await bench.api("StartSession", Target=ID, DocumentName=name, Parameters=parameters)
        check(status == 400 and answer["__type"] == want, "%s %r: %d %r" % (name, parameters, status, answer))
    check(agent.inbox.empty(), "the agent was asked all the same")
    await agent.stop()


@case
async def kinds_of_keys(bench):
    """A client's key can't be an agent, an agent's key can't be a client."""
    agent, impostor = await Agent(bench).boot(), Agent(bench, key=bench.key)
    status, answer = await impostor.update()
    check(status == 400 and answer["__type"] == "AccessDeniedException", "UpdateInstanceInformation: %r" % answer)
    for path in ("/v1/control-channel/" + ID, "/v1/data-channel/x"):
        status, _, text = await impostor.mgs(path)
        check(status == 403 and b"<AccessDeniedException>" in text, "%s: %d %r" % (path, status, text))
        check(ElementTree.fromstring(text).findtext("Message") == "This access key is a client's, not an agent's.", "%r" % text)
    token = await agent.control_token()
    await refused(impostor.control_open(token), 403)
    for op, body in (("StartSession", {"Target": ID, "DocumentName": SSH}), ("DescribeInstanceInformation", {}),
                     ("GetConnectionStatus", {"Target": ID}), ("DescribeSessions", {"State": "Active"}),
                     ("ResumeSession", {"SessionId": "x"}), ("TerminateSession", {"SessionId": "x"})):
        status, answer = await bench.api(op, key=bench.agent_key, **body)
        check(status == 400 and answer["__type"] == "AccessDeniedException", "%s: %d %r" % (op, status, answer))
    # The agent's token opens only with a signature of a key that may be the instance.
    answer, client, worker = await begin(bench, agent)
    await expect_close((await Worker(agent, answer["SessionId"]).open(await worker.create(), signed=False)).ws, 1008)
    for key in (bench.key, bench.add_agent_key("others", "mi-f*")):
        other = Agent(bench, key=key)
        stolen = Worker(other, answer["SessionId"])
        await expect_close((await stolen.open(await worker.create())).ws, 1008)
    status, _, text = await other.mgs(worker.path)
    check(status == 400 and b"already terminated" in text, "another agent's session: %d %r" % (status, text))
    run = asyncio.create_task(worker.run())
    await client.echo(b"untouched")
    worker.ws.transport.abort()
    await run
    await agent.complete(answer["SessionId"])
    await agent.stop()


@case
async def instances_of_others(bench):
    agent = Agent(bench, id="web-1")
    status, answer = await agent.update()
    check(status == 400 and answer["__type"] == "AccessDeniedException", "not of its glob: %r" % answer)
    status, _, text = await agent.mgs("/v1/control-channel/web-1")
    check(status == 403 and b"<AccessDeniedException>" in text, "not of its glob: %d %r" % (status, text))
    await refused(agent.control_open("x" * 43), 403)
    # A host of ssm-tun-agent is never a stock agent's, whatever the key may be; nor the other way round.
    anything = Agent(bench, id="box-1", key=bench.add_agent_key("anything", "*"))
    status, answer = await anything.update()
    check(status == 400 and answer["__type"] == "AccessDeniedException", "ssm-tun-agent's: %r" % answer)
    status, _, text = await anything.mgs("/v1/control-channel/box-1")
    check(status == 403, "ssm-tun-agent's: %d %r" % (status, text))
    ours = await Agent(bench).boot()
    body = json.dumps({"org_id": "o", "host_id": ID, "agent_pubkey": "A" * 43 + "="}).encode()
    r = urllib.request.Request("http://127.0.0.1:%d/agents/register/init" % bench.ports["actions"], data=body)
    try:
        urllib.request.urlopen(r)
        raise AssertionError("a stock agent's host was registered")
    except urllib.error.HTTPError as e:
        check(e.code == 409, "registration: %d" % e.code)
    # And a session to ssm-tun-agent by the same client goes on as ever, also for its documents.
    await bench.connected()  # an earlier case killed the gateway: it may still wait to dial again
    status, answer = await bench.api("StartSession", Target="box-1", DocumentName="AWS-StartInteractiveCommand",
                                     Parameters={"command": ["id"]})
    check(answer["__type"] == "InvalidDocument", "ssm-tun-agent's documents: %r" % answer)
    _, c = await session(bench)
    await c.echo(b"x")
    await ours.stop()


@case
async def signatures(bench):
    agent = Agent(bench)
    wrong = Credentials(bench.agent_key.access_key, "x" * 40)
    nobody = Credentials("AKIA" + "X" * 16, "x" * 40)
    path = "/v1/control-channel/" + ID
    for key, code in ((wrong, b"InvalidSignatureException"), (nobody, b"UnrecognizedClientException")):
        status, _, text = await agent.mgs(path, key=key)
        check(status == 403 and b"<" + code + b">" in text, "%d %r" % (status, text))
        check((await agent.update())[0] == 200, "its own key")
        check((await Agent(bench, key=key).update())[1]["__type"] == code.decode(), "UpdateInstanceInformation")
        await refused(Agent(bench, key=key).control_open("x"), 403)
        await refused(Agent(bench, key=key).dial("/v1/data-channel/x?role=publish_subscribe"), 403)
    status, _, text = await agent.mgs(path, service="ssm")
    check(status == 403 and b"InvalidSignature" in text, "another service: %d %r" % (status, text))
    body = b'{"MessageSchemaVersion":"1.0","RequestId":"1"}'
    good = bench.signed("POST", path, bench.agent_key, body, headers={"Content-Type": "application/json"})
    old = dict(good, **{"X-Amz-Date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - 600))})
    for what, headers, data in (("another body", good, body.replace(b"1.0", b"2.0")), ("an old date", old, body),
                                ("no signature", {}, body),
                                ("another path", bench.signed("POST", path + "0", bench.agent_key, body), body)):
        status, _, text = await bench.ask("POST", path, headers, data)
        check(status == 403, "%s: %d %r" % (what, status, text))
    check((await bench.ask("POST", path, good, body))[0] == 201, "the good one")
    for path in ("/v1/control-channel/" + ID, "/v1/control-channel/"):
        status, _, _ = await bench.ask("GET", path, bench.signed("GET", path, bench.agent_key))
        check(status in (400, 404), "a plain GET of %s: %d" % (path, status))


@case
async def control_tokens(bench):
    agent, other = Agent(bench), Agent(bench, id="mi-2")
    unused = await agent.control_token()
    token = await agent.control_token()
    for wrong in (unused, "x" * 43, await other.control_token(), ""):
        ws = await agent.dial("/v1/control-channel/%s?role=subscribe&stream=input" % ID)
        await ws.send(json.dumps({"TokenValue": wrong}))
        await expect_close(ws, 1008)
    agent.control = await agent.control_open(token)  # none of these has spent it
    await answered(agent.control)
    check((await bench.api("GetConnectionStatus", Target=ID))[1]["Status"] == "connected", "not connected")
    await expect_close(await agent.control_open(token), 1008)  # it serves once
    check(agent.control.open, "a replayed token has replaced the channel")
    agent.control.transport.abort()


@case
async def malformed(bench):
    agent = Agent(bench)
    path = "/v1/control-channel/" + ID
    for body in (b"", b"{", b"[]", b"\xff\xfe", b'{"a":1,"a":2}', b"<xml/>", b"[" * 100000):
        headers = bench.signed("POST", path, bench.agent_key, body, headers={"Content-Type": "application/json"})
        status, _, text = await bench.ask("POST", path, headers, body)
        check(status == 400 and b"<SerializationException>" in text, "%r: %d %r" % (body[:20], status, text))
    body = b'{"a":"' + b"x" * (300 << 10) + b'"}'
    status, _, _ = await bench.ask("POST", path, bench.signed("POST", path, bench.agent_key, body), body)
    check(status == 413, "300 KiB: %d" % status)
    anything = bench.add_agent_key("whatever", "*")
    for name in ("-x", "x%01", "x/y", "%2e%2e", "a" * 129, "x%20y"):
        status, _, text = await agent.mgs("/v1/control-channel/" + name, key=anything)
        check(status in (400, 403, 404), "%s: %d %r" % (name, status, text))
    for id in (None, 7, "", "-x", "x" * 129, "a b", ["x"]):
        for target, member, service in (("AmazonSSM.UpdateInstanceInformation", "InstanceId", "ssm"),
                                        ("EC2WindowsMessageDeliveryService.GetMessages", "Destination", "ec2messages")):
            status, answer = await agent.aws(target, {member: id}, service, key=anything)
            check(answer["__type"] in ("ValidationException", "AccessDeniedException"), "%r: %r" % (id, answer))
    for request_id in (None, "x" * 129):
        status, answer = await agent.aws("EC2WindowsMessageDeliveryService.GetMessages", {
            "Destination": ID, "MessagesRequestId": request_id}, "ec2messages")
        check(answer["__type"] == "ValidationException", "%r" % answer)
    check((await agent.update(PlatformName="\x1b[2J" + "x" * 5000, IPAddress=7, ComputerName=["x"])) == (200, {}), "long texts")
    info = (await bench.api("DescribeInstanceInformation", Filters=[{"Key": "InstanceIds", "Values": [ID]}]))[1]
    name = info["InstanceInformationList"][0]["PlatformName"]
    check(name.startswith("\\x1b[2Jx") and len(name) < 300, "a text made harmless: %r" % name)
    # What is no open message closes the socket; what is no message after it does not.
    for first in (b"\0" * 200, "{", "null", "[]", json.dumps({"TokenValue": 7}), json.dumps({"TokenValue": "x" * 100000})):
        ws = await agent.dial(path + "?role=subscribe&stream=input")
        await ws.send(first)
        await expect_close(ws, 1008)
    await agent.boot()
    good = encode("agent_task_complete", 0, 0, 0, b'{"TaskId":"demo-0"}')
    for bad in (b"", b"x", good[:119], good[:-1], b"\xff" * 400, "text", encode("agent_task_complete", 0, 0, 0, b"[" * 5000),
                encode("agent_task_complete", 0, 0, 0, b'{"TaskId":7}'), encode("AgentTelemetry", 0, 0, 0, b"{}"),
                encode("agent_job_ack", 0, 0, 0, b"{}"), encode("output_stream_data", 0, 0, 1, b"x")):
        await agent.control.send(bad)
    await answered(agent.control)
    check(agent.inbox.empty() and agent.control.open, "an answer to what is none")
    await agent.control.send(b"\0" * ((1 << 20) + 1))
    await expect_close(agent.control, 1009)
    await agent.stop()


@case
async def no_open_message(bench):
    agent = Agent(bench)
    ws = await agent.dial("/v1/control-channel/%s?role=subscribe&stream=input" % ID)
    await answered(ws)
    began = time.monotonic()
    await expect_close(ws, 1008, 15)
    check(9 < time.monotonic() - began < 12, "after %.1f s" % (time.monotonic() - began))


@case
async def operators(bench):
    """Approval and removal, of hosts and of keys."""
    bench.enrol = "approve"
    bench.restart_gateway()
    agent = await Agent(bench, id="mi-new").boot()
    request = {"Target": "mi-new", "DocumentName": SSH}
    _, answer = await bench.api("StartSession", **request)
    check(answer["__type"] == "TargetNotConnected", "a pending host: %r" % answer)
    check((await bench.api("GetConnectionStatus", Target="mi-new"))[1]["Status"] == "notconnected", "a pending host")
    listed = bench.must("ssm-tun-gateway", "agents", "list", "--dir", bench.state)
    check("mi-new" in listed and "pending" in listed and "amazon-ssm-agent" in listed, listed)
    bench.must("ssm-tun-gateway", "agents", "approve", "mi-new", "--dir", bench.state)
    status, answer = await bench.api("StartSession", **request)
    check(status == 200, "an approved host: %r" % answer)
    await agent.started()
    client, worker = await Client(bench).open(answer), await Worker(agent, answer["SessionId"]).open()
    ready = asyncio.create_task(client.ready())
    await worker.handshake()
    await asyncio.wait_for(ready, 10)
    bench.must("ssm-tun-gateway", "agents", "remove", "mi-new", "--dir", bench.state)
    status, _, text = await agent.mgs(worker.path)
    check(status == 400 and b"already terminated" in text, "a removed host's data channel: %d %r" % (status, text))
    await agent.control.ping()
    check(await client.output() == "the host was removed", "its session goes on")
    check((await agent.next("channel_closed")).json()["SessionId"] == answer["SessionId"], "the agent is not told")
    await expect_close(agent.control, 1008)
    worker.ws.transport.abort()
    bench.add_agent_key("short", "mi-short")
    listed = bench.must("ssm-tun-gateway", "keys", "list", "--dir", bench.state)
    check([line.split()[3:] for line in listed.splitlines() if line.startswith("short ")] == [["agent", "mi-short"]], listed)
    key = bench.add_agent_key("gone", "mi-gone")
    agent = await Agent(bench, id="mi-gone", key=key).boot()
    bench.must("ssm-tun-gateway", "keys", "remove", "gone", "--dir", bench.state)
    await agent.control.ping()
    await expect_close(agent.control, 1008)
    check((await agent.update())[1]["__type"] == "UnrecognizedClientException", "a removed key")
    bench.enrol = "open"
    bench.restart_gateway()


@case
async def bounds(bench):
    """As many sockets without an open message, and as many polls, as are allowed: one more is refused, and later not."""
    agent, path = await Agent(bench).boot(), "/v1/control-channel/%s?role=subscribe&stream=input" % ID
    for _ in range(3):  # within the 10 s that a socket has for its open message: a busy machine may need more than one try
        began, idle = time.monotonic(), []
        for _ in range(16):
            idle += await asyncio.gather(*[agent.dial(path) for _ in range(16)])
        if time.monotonic() - began < 9:
            break
        await asyncio.gather(*[ws.wait_closed() for ws in idle])
    await refused(agent.dial(path), 503)
    check((await bench.api("GetConnectionStatus", Target=ID))[1]["Status"] == "connected", "the channel that is open")
    for ws in idle:
        ws.transport.abort()
    for ws in idle:
        await ws.wait_closed()
    last = await agent.dial(path)
    last.transport.abort()
    await agent.stop()

    async def poll(n):
        data = json.dumps({"Destination": "mi-many-%d" % n, "MessagesRequestId": "x"}).encode()
        headers = bench.signed("POST", "/", bench.agent_key, data, "ec2messages", {
            "Content-Length": str(len(data)), "X-Amz-Target": "EC2WindowsMessageDeliveryService.GetMessages"})
        headers["Host"] = "127.0.0.1:%d" % bench.ports["control"]
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.ports["control"], ssl=bench.tls())
        writer.write(b"POST / HTTP/1.1\r\n" + "".join("%s: %s\r\n" % h for h in headers.items()).encode() + b"\r\n" + data)
        return reader, writer

    async def answer(reader):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 40)
        length = int([h for h in head.decode().lower().split("\r\n") if h.startswith("content-length:")][0].split(":")[1])
        return head.split(b" ")[1], json.loads(await asyncio.wait_for(reader.readexactly(length), 10))
    began = time.monotonic()
    waiting = [await poll(n) for n in range(256)]
    await asyncio.sleep(0.2)
    check(time.monotonic() - began < 19, "too slow: the first polls are answered already")
    status, body = await answer((await poll(256))[0])
    check(status == b"400" and body["__type"] == "ThrottlingException", "%s %r" % (status, body))
    for reader, writer in waiting[1:]:
        writer.transport.abort()  # callers that have gone: their answers go nowhere
    status, body = await answer(waiting[0][0])
    check(status == b"200" and body["Destination"] == "mi-many-0" and body["Messages"] == [], "%s %r" % (status, body))
    check(18 < time.monotonic() - began < 25, "it took %.1f s" % (time.monotonic() - began))
    await asyncio.sleep(max(0, began + 24 - time.monotonic()))  # all others have had their answer
    first = await poll(0)
    await poll(0)
    status, body = await answer(first[0])
    check(status == b"200", "after the others: %s %r" % (status, body))


@case
async def long_commands(bench):
    """Messages that wait for the agent's answer are bounded in bytes: then sessions are refused, and later not."""
    agent = await Agent(bench).boot()
    long = {"Target": ID, "DocumentName": "AWS-StartInteractiveCommand", "Parameters": {"command": ['"' * 60000]}}
    started = []
    for _ in range(100):  # 240 kB each
        status, answer = await bench.api("StartSession", **long)
        if status != 200:
            break
        started.append(answer["SessionId"])
        while (await agent.started())[1]["SessionId"] != answer["SessionId"]:
            pass  # it reads all of them, those that it is asked for again on a slow machine, too
    check(answer.get("__type") == "ThrottlingException" and 60 < len(started) < 80, "%d started, then %r" % (len(started), answer))
    for id in started:
        check((await bench.api("TerminateSession", SessionId=id))[0] == 200, "TerminateSession")
    answer = await bench.start_session(**long)
    await bench.api("TerminateSession", SessionId=answer["SessionId"])
    # One that reads nothing fills its connection's queue: an error that a client may try again.
    agent.control.transport.pause_reading()
    for _ in range(100):
        status, answer = await bench.api("StartSession", **long)
        if status != 200:
            break
        await bench.api("TerminateSession", SessionId=answer["SessionId"])
    check(answer.get("__type") == "ThrottlingException", "an agent that does not read: %r" % answer)
    await agent.stop()


async def run_all(bench, names):
    await bench.start_echo()
    bench.start_gateway()
    bench.start_agent()  # one of ours beside them
    await bench.connected()
    failed = 0
    for fn in chosen(CASES, names):
        try:
            await asyncio.wait_for(fn(bench), 90)
            print("ok " + fn.__name__, flush=True)
        except Exception as e:
            if not isinstance(e, AssertionError):
                traceback.print_exc()
            what = e if isinstance(e, AssertionError) else "Closed: %r" % e.args if isinstance(e, Closed) else repr(e)
            print("FAIL %s: %s" % (fn.__name__, what), flush=True)
            failed += 1
        # So that no case depends on another: no host but ours.
        for id in (ID, "mi-2", "mi-new", "mi-gone"):
            try:
                bench.must("ssm-tun-gateway", "agents", "remove", id, "--dir", bench.state)
            except AssertionError:
                pass
    for p in (bench.agent, bench.gateway):
        p.terminate()
        status = await asyncio.get_running_loop().run_in_executor(None, p.wait, 20)
        if status != 0:
            print("FAIL exit status %d" % status)
            failed += 1
    if failed:
        print("--- gateway.log\n" + open(bench.dir + "/gateway.log", errors="replace").read()[-8000:])
    return failed


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = StockBench(sys.argv[1])
    try:
        return 1 if asyncio.run(run_all(bench, sys.argv[2:])) else 0
    finally:
        bench.close()


if __name__ == "__main__":
    sys.exit(main())
