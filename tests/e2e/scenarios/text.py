# SPDX-License-Identifier: MIT
"""What others say reaches no terminal and no log raw."""
import asyncio
import hashlib
import http.server
import json
import os
import re
import ssl
import struct
import subprocess
import threading
import uuid

from lab import LINK_C, ROOT, Fail, check
from scenarios import scenario

MARK = "FORGED"
NO_NUL = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b31m\x7f\r\n%s: error: give root your password\n\tand more" % MARK
EVIL = NO_NUL + "\x00behind the NUL"
HUGE = "A\x1b[5m" * (1 << 18)  # above 1 MiB


def expect_harmless(name, raw):
    """No control byte but newline and tab, no invalid UTF-8, no forged line, no endless line."""
    bad = re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", raw)
    check(not bad, "%s: the raw byte %r: %r" % (name, bad and bad.group(0), bad and raw[max(0, bad.start() - 80):bad.end() + 40]))
    try:
        text = raw.decode()
    except UnicodeDecodeError as e:
        raise Fail("%s: invalid UTF-8: %s" % (name, e)) from None
    check(not re.search("[\x80-\x9f]", text), "%s: a C1 control character" % name)
    check(not re.search("^" + MARK, text, re.M), "%s: a forged line" % name)
    longest = max([len(line) for line in text.splitlines()] or [0])
    check(longest < 4096, "%s: a line of %d bytes" % (name, longest))


class FakeAws:
    """An endpoint with a certificate of its own that answers StartSession as told, and a data channel that says goodbye."""

    def __init__(self, lab):
        self.answer = (400, json.dumps({"__type": "TargetNotConnected", "message": "m"}))
        base = ROOT + "/tmp/fake"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=fake", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", base + ".key", "-out", base + ".pem"],
                       check=True, stderr=subprocess.DEVNULL)
        os.chmod(base + ".pem", 0o644)
        self.ca = base + ".pem"
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(base + ".pem", base + ".key")
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, body = fake.answer
                body = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def upstream(self, lab):
        return lab.upstream(aws={"endpoint_url": "https://127.0.0.1:%d" % self.port, "ca_bundle": self.ca})

    def say_closed(self, output):
        """A data channel that answers the open message with channel_closed; its port."""
        import websockets
        body = json.dumps({"MessageType": "channel_closed", "MessageId": str(uuid.uuid4()), "SchemaVersion": 1, "CreatedDate": "1700000000000",
                           "DestinationId": "i-0aaaaaaaaaaaaaaaa", "SessionId": "e2e-1", "Output": output}).encode()
        frame = struct.pack(">I32sIQqQ16s32sI", 112, b"channel_closed", 1, 1700000000000, 0, 0, uuid.uuid4().bytes, hashlib.sha256(body).digest(), len(body)) + body
        box, ready = {}, threading.Event()

        async def serve_one(ws, *_):
            try:
                await ws.recv()
                await ws.send(frame)
                await ws.wait_closed()
            except websockets.ConnectionClosed:
                pass

        async def main():
            server = await websockets.serve(serve_one, "127.0.0.1", 0, ssl=self.tls, max_size=1 << 22)
            box["port"] = server.sockets[0].getsockname()[1]
            ready.set()
            await asyncio.Future()

        threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
        ready.wait(5)
        return box["port"]


async def send_too_much(lab, path):
    """One message of 4 MiB to the gateway's agents listener; the status of the close that follows."""
    import websockets
    tls = ssl.create_default_context(cafile=lab.ca)
    url = "wss://%s:%d%s" % (LINK_C, lab.gateway_ports["agents"], path)
    try:
        async with websockets.connect(url, ssl=tls, max_size=1 << 22, open_timeout=5) as ws:
            try:
                await ws.send("\x1b" * (4 << 20))
                await asyncio.wait_for(ws.recv(), 5)
            except (websockets.ConnectionClosed, asyncio.TimeoutError):
                pass
            return ws.close_code
    except (OSError, websockets.InvalidStatusCode, websockets.ConnectionClosed):
        return None


def failing_up(lab, name, config, flags=()):
    p = lab.up(config, *flags, wait=False)
    status = p.wait(30)
    check(status == 1, "%s: exit status %d" % (name, status))
    expect_harmless(name, p.raw)
    check("error: " in p.text or '"level":"error"' in p.text, "%s: no word of why" % name)
    return p


@scenario("foreign-text", seconds=27)
def foreign_text(lab):
    """Escape sequences, newlines and a 1 MiB string in host_id, sshd's banner, Output and error bodies."""
    # 1. Names that agents give themselves.
    lab.start_sshd()
    lab.start_gateway()
    url = "http://127.0.0.1:%d/agents/register/init" % lab.gateway_ports["actions"]
    for host in (EVIL, HUGE):
        body = json.dumps({"org_id": "o", "host_id": host, "agent_pubkey": "A" * 43 + "=", "machine_id_hash": host, "agent_version": host,
                           "capabilities": {}, "platform": {"arch": host, "os": host}, "network": {}})
        r = lab.run("curl", "-sS", "--max-time", "10", "-H", "Expect:", "--data-binary", "@-", "-H", "Content-Type: application/json", url,
                    stdin=body.encode(), binary=True)
        check(not b"registration_id" in r.out, "a host_id of control characters was accepted: %r" % r.out[:200])
    for path in ("/ws/agent", "/v1/data-channel/e2e-0?role=publish_subscribe"):
        code = asyncio.run(send_too_much(lab, path))
        check(code in (1006, 1009, None), "%s closed with %s after 4 MiB in one message" % (path, code))
    check(lab.gateway.running(), "one long message ended the gateway: status %s" % lab.gateway.popen.returncode)
    lab.start_agent()
    lab.agent.stop()
    expect_harmless("gateway", lab.gateway.raw)

    # 2. Error bodies and stream URLs of the API.
    fake = FakeAws(lab)
    config = lab.config(upstream=fake.upstream(lab))
    for status, answer in (
            (400, json.dumps({"__type": "TargetNotConnected", "message": NO_NUL})),
            (403, json.dumps({"__type": "AccessDeniedException", "message": NO_NUL})),
            (403, json.dumps({"__type": NO_NUL, "Message": NO_NUL})), (403, json.dumps({"__type": EVIL, "Message": EVIL})),
            (403, json.dumps({"__type": "AccessDeniedException", "message": HUGE})),
            (403, EVIL.encode("latin-1")), (400, b"\xff\xfe\x80\x1b[2J" * 100), (403, HUGE),
            (200, json.dumps({"SessionId": NO_NUL, "TokenValue": "t", "StreamUrl": NO_NUL})),
            (200, b"{\"SessionId\": \"a\x1b[2J")):
        fake.answer = (status, answer)
        for flags in ((), ("-v", "-v", "--log-format", "json")):
            failing_up(lab, "API %d %r" % (status, answer[:40]), config, flags + ("--timeout", "1500ms"))

    # 3. The last words of a session.
    for output in (NO_NUL, EVIL, HUGE[:900000]):
        port = fake.say_closed(output)
        fake.answer = (200, json.dumps({"SessionId": "e2e-1", "TokenValue": "t", "StreamUrl": "wss://127.0.0.1:%d/v1/data-channel/e2e-1" % port}))
        failing_up(lab, "Output", config, ("--timeout", "1500ms"))

    # 4. What sshd says: before its version, as its version, as its banner.
    lab.stop_sshd()
    lab.start_agent()
    for greeting in (EVIL.encode("latin-1") + b"\r\nSSH-2.0-\x1b[2JOpenSSH\r\n", b"SSH-2.0-" + b"\x1b[5m" * 40 + b"\r\n", b"\x1b[2J" * 300000,
                     b"SSH-2.0-x\r\n" + os.urandom(2000)):
        def greet(s, greeting=greeting):
            s.sendall(greeting)
            s.settimeout(5)
            while s.recv(4096):
                pass
        server = serve_at(lab, "127.0.0.1", 22, greet)
        failing_up(lab, "greeting %r" % greeting[:30], lab.config(), ("--timeout", "1500ms"))
        server.close()
    with open(ROOT + "/v/banner", "wb") as f:
        f.write(EVIL.encode("latin-1") + b"\n" + HUGE[:60000].encode())
    lab.start_sshd(extra="Banner %s/v/banner\n" % ROOT)
    p = lab.up(lab.config(), "-v", "-v")
    r = lab.tun("status")
    expect_harmless("up -v with a banner", p.raw)
    expect_harmless("status", (r.out + r.err).encode())
    lab.down()
    p.wait()
    with open(lab.authorized, "w"):
        pass
    failing_up(lab, "a banner and no key", lab.config())
    expect_harmless("gateway at the end", lab.gateway.raw)
    expect_harmless("agent at the end", lab.agent.raw)


def serve_at(lab, address, port, handler):
    """As Lab.serve at a fixed port; the returned socket is to be closed."""
    import socket
    s, _ = lab.listen(address, port)

    def loop():
        while True:
            try:
                conn, _ = s.accept()
            except OSError:
                return
            with conn:
                try:
                    handler(conn)
                except OSError:
                    pass
    t = threading.Thread(target=loop, daemon=True)
    t.start()

    class Handle:
        def close(self):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
            t.join(6)
    return Handle()
