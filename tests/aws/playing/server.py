# SPDX-License-Identifier: MIT
"""The HTTP servers: reads a request, finds its service, lets faults happen, checks the signature, answers, writes the journal.

Theory of operation: all AWS services share one TLS port, told apart as their protocols do: by X-Amz-Target, by Action and Version in the
form, or by path. So one `AWS_ENDPOINT_URL` serves all; with --names and addresses in /etc/hosts the real host names work, too.
A request goes through at most: fault "before" -> signature -> permission -> the service -> fault "body". A thread a connection.
"""
import fnmatch
import http.server
import json
import socket
import ssl
import threading
import time
from email.utils import formatdate

from . import ec2, sign, small, ssm, sso, sts
from .wire import EC2, JSON11, QUERY, REST_JSON, REST_XML, Answer, ApiError, Cut, Request, answer, error_answer, meet_fault

BODY_MAX = 1 << 20
SECRET_PARAMS = {"clientSecret", "refreshToken", "WebIdentityToken", "TokenCode", "deviceCode", "TokenValue"}
HEADERS_NOTED = ("Host", "X-Amz-Date", "X-Amz-Target", "Content-Type", "User-Agent", "X-Amz-Content-SHA256", "Accept")
HEADERS_PRESENT = ("X-Amz-Security-Token", "Authorization", "x-amz-sso_bearer_token", "X-aws-ec2-metadata-token",
                   "Proxy-Authorization", "X-Forwarded-For")

TARGETS = {"AmazonSSM": ("ssm", ssm.OPERATIONS), "AWSEC2InstanceConnectService": ("ec2-instance-connect", small.CONNECT),
           "TrentService": ("kms", small.KMS)}
FORMS = {"2011-06-15": ("sts", QUERY, sts.OPERATIONS), "2016-11-15": ("ec2", EC2, ec2.OPERATIONS)}
PATHS = {("GET", "/federation/credentials"): ("sso", REST_JSON, "GetRoleCredentials", sso.PORTAL),
         ("POST", "/client/register"): ("sso-oidc", REST_JSON, "RegisterClient", sso.OIDC),
         ("POST", "/device_authorization"): ("sso-oidc", REST_JSON, "StartDeviceAuthorization", sso.OIDC),
         ("POST", "/token"): ("sso-oidc", REST_JSON, "CreateToken", sso.OIDC),
         ("GET", "/2013-04-01/hostedzonesbyvpc"): ("route53", REST_XML, "ListHostedZonesByVPC", small.ROUTE53)}
UNSIGNED = {"sso", "sso-oidc"}


def identify(request):
    """Sets service, protocol, operation and params. Returns the function that serves it; an ApiError if there is none."""
    row = PATHS.get((request.method, request.path))
    if row:
        request.service, request.protocol, request.operation, table = row
        request.params = request.json() if request.method == "POST" else request.query
        return table[request.operation]
    target = request.headers.get("X-Amz-Target", "")
    if target and request.method == "POST" and request.path == "/":
        prefix, _, request.operation = target.partition(".")
        request.service, table = TARGETS.get(prefix, ("", {}))
        request.protocol = JSON11
        if request.operation not in table:
            raise ApiError("unknown-operation", None)
        request.params = request.json()
        return table[request.operation]
    form = request.form() if request.method == "POST" else request.query
    if "Action" in form and request.path == "/":
        request.operation, version = form["Action"], form.get("Version")
        request.service, request.protocol, table = FORMS.get(version, ("sts", QUERY, {}))
        request.params = {k: v for k, v in form.items() if k not in ("Action", "Version")}
        if request.operation not in table:
            raise ApiError("unknown-operation", "The action %s is not valid for this web service." % request.operation)
        return table[request.operation]
    raise ApiError("unknown-operation", "no service has %s %s" % (request.method, request.path), 404)


def check_permission(world, request):
    name = "%s:%s" % (request.service, request.operation)
    with world.lock:
        denied = any(fnmatch.fnmatchcase(name, p) for p in world.deny)
    if not denied:
        return
    who = request.principal.arn if request.principal else "anonymous"
    text = "User: %s is not authorized to perform: %s because no identity-based policy allows the %s action" % (who, name, name)
    raise ApiError("denied", ("You are not authorized to perform this operation. " if request.service == "ec2" else "") + text)


def serve_api(world, request):
    fn, refused = None, None
    try:
        fn = identify(request)
    except ApiError as e:
        refused = e
    fault, got = meet_fault(world, request)
    if got:
        return got
    if refused:
        raise refused
    if request.service not in UNSIGNED and request.operation not in sts.UNSIGNED:
        sign.verify(world, request)
        check_permission(world, request)
    result = fn(world, request)
    got = result if isinstance(result, Answer) else answer(request, result)
    if fault and fault.cut == "body":
        got.cut = "body"
    if fault and fault.headers:
        got.headers += list(fault.headers.items())
    return got


def shown(params):
    return {k: "(secret)" if k in SECRET_PARAMS else v for k, v in params.items()}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "play", ""
    timeout = 120
    world = serve = None   # of the subclass that listen() makes
    tls, noted = False, True

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return formatdate(timestamp if timestamp is not None else self.world.now(), usegmt=True)

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle_any(self):
        length = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") or not length.isdigit() or int(length) > BODY_MAX:
            self.close_connection = True
            return self.send_error(413)
        request = Request(self.command, self.path, self.headers, self.rfile.read(int(length)), self.tls, self.client_address)
        started, got, error, cut = time.monotonic(), None, None, None
        try:
            got = self.serve(self.world, request)
        except ApiError as e:
            error = e
            got = error_answer(request, e)
        except Cut as e:
            cut = str(e)
        row = self.row(request, got, error, started)
        if self.noted:  # before the answer: who has it finds it in the journal
            self.world.note(row)
        try:
            return self.cut_now(cut) if cut else self.send(got)
        except OSError:  # the client has gone
            row["gone"] = True
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_any

    def row(self, request, got, error, started):
        present = [n for n in HEADERS_PRESENT if self.headers.get(n) is not None]
        return {"service": request.service, "operation": request.operation or request.path, "method": request.method,
                "path": request.path, "region": request.region, "scope_service": request.scope_service,
                "access_key": request.access_key, "principal": request.principal.arn if request.principal else None,
                "source": request.principal.source if request.principal else None, "params": shown(request.params),
                "headers": {n: self.headers[n] for n in HEADERS_NOTED if self.headers.get(n) is not None}, "present": present,
                "tls": self.tls, "peer": "%s:%d" % self.client_address[:2], "at": self.world.now(),
                "ms": round((time.monotonic() - started) * 1000), "status": got.status if got else 0,
                "error": error.said(request.protocol)[0] if error else None}

    def send(self, got):
        self.send_response(got.status)
        self.send_header("Content-Type", got.content_type)
        self.send_header("Content-Length", str(len(got.body)))
        for name, value in got.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if got.cut == "body":
            self.wfile.write(got.body[:len(got.body) // 2])
            return self.cut_now("body")
        self.wfile.write(got.body)

    def cut_now(self, where):
        if where == "head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass  # a handshake that failed, a client that went: the journal has what was asked


def listen(world, address, serve, tls=None, noted=True):
    """Starts a server on "host:port" (port 0: any). Returns its port."""
    host, _, port = address.rpartition(":")
    handler = type("Bound", (Handler,), {"world": world, "serve": staticmethod(serve), "tls": tls is not None,
                                       "noted": noted})
    kind = type("Bound", (Server,), {"address_family": socket.AF_INET6 if ":" in host else socket.AF_INET})
    server = kind((host.strip("[]"), int(port)), handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def tls_context(cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["http/1.1"])
    return context


def json_answer(status, value):
    return Answer(status, json.dumps(value).encode(), "application/json")
