#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""ssm_server.py - a fake of the ssm API for aws_call_test and aws_again_test

Every request's signature is made again by botocore's SigV4Auth and compared. What is answered depends on the
target or session id, see behave(). An HTTP and an HTTPS port and a CONNECT proxy listen on 127.0.0.1; their numbers
go to stdout as "http https proxy closed", then the folder with ca.pem. The server ends when its stdin does.
"""
import calendar
import email.utils
import http.client
import http.server
import json
import os
import select
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEYS = {'AKIDTEST': 'secret/+test', 'AKIDOTHER': 'another', 'AKIDOLD': 'old'}
lock = threading.Lock()
seen = {}  # target -> number of requests
last = {}  # target -> time of the last one
idle = threading.Event()


def signature_of(handler, body):
    """Whether the signature is the one that botocore gives the same request; None for unknown keys."""
    given = handler.headers.get('Authorization', '')
    if not given.startswith('AWS4-HMAC-SHA256 '):
        return None
    fields = dict(f.strip().split('=', 1) for f in given.split(' ', 1)[1].split(','))
    key, date, region, service, _ = fields['Credential'].split('/')
    if key not in KEYS or service != 'ssm':
        return None
    stamp = handler.headers['X-Amz-Date']
    request = AWSRequest(method='POST', url='http://%s%s' % (handler.headers['Host'], handler.path), data=body)
    request.context['timestamp'] = stamp
    auth = SigV4Auth(Credentials(key, KEYS[key]), 'ssm', region)
    # only the headers that were signed: botocore leaves out a few that curl signs too
    auth.headers_to_sign = lambda r: _only(fields['SignedHeaders'].split(';'), handler)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return fields['Signature'] == auth.signature(text, request)


def _only(names, handler):
    message = http.client.HTTPMessage()
    for name in names:
        message[name] = handler.headers[name]
    return message


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self, status, body, headers=(), chunked=False):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/x-amz-json-1.1')
        self.send_header('x-amzn-RequestId', 'req-0001')
        for name, value in headers:
            self.send_header(name, value)
        if chunked:
            self.send_header('Transfer-Encoding', 'chunked')
            self.end_headers()
            for i in range(0, len(data), 7):
                part = data[i:i + 7]
                self.wfile.write(b'%x\r\n%s\r\n' % (len(part), part))
            self.wfile.write(b'0\r\n\r\n')
            return
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status, code, message, **more):
        self.answer(status, {'__type': code, 'message': message}, **more)

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        request = json.loads(body)
        name = request.get('Target') or request.get('SessionId') or request.get('State') or request['Filters'][0]['Values'][0]
        operation = self.headers['X-Amz-Target']
        with lock:
            seen[name] = seen.get(name, 0) + 1
            count = seen[name]
        good = signature_of(self, body)
        if good is None:
            return self.fail(400, 'UnrecognizedClientException', 'The security token included in the request is invalid.')
        if not good:
            return self.fail(400, 'InvalidSignatureException', 'The request signature we calculated does not match')
        if self.headers['Content-Type'] != 'application/x-amz-json-1.1':
            return self.fail(400, 'ValidationException', 'content type')
        try:
            self.behave(operation, name, request, count)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass

    def behave(self, operation, name, request, count):
        session = {'SessionId': 'user-0123456789abcdef0', 'TokenValue': 'T' * 600,
                   'StreamUrl': 'wss://ssmmessages.test/v1/data-channel/x?role=publish_subscribe&cell-number=a+/='}
        kind = name.split('-', 1)[1]
        if operation == 'AmazonSSM.DescribeInstanceInformation':
            return self.information(name, kind)
        if operation == 'AmazonSSM.DescribeSessions':
            return self.pages(kind, request)
        if operation == 'AmazonSSM.TerminateSession':
            return self.answer(200, {'SessionId': name})
        if kind == 'ok':
            return self.answer(200, session)
        if kind == 'echo':  # what came, for a look at the request
            session['StreamUrl'] = 'wss://echo/' + json.dumps(
                [operation, request, self.headers.get('X-Amz-Security-Token'), self.path,
                 self.headers['Authorization'].split('/')[2]], separators=(',', ':'))
            return self.answer(200, session)
        if kind == 'payload':
            return self.answer(200, dict(session, MaxPayloadBytes=65536))
        if kind == 'chunked':
            return self.answer(200, session, chunked=True)
        if kind.startswith('throttle'):
            if count <= int(kind[len('throttle'):]):
                return self.fail(400, 'ThrottlingException', 'Rate exceeded')
            return self.answer(200, session)
        if kind == 'drop1':
            if count == 1:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return None
            return self.answer(200, session)
        if kind == '503':
            return self.answer(503, b'<html>busy</html>')
        if kind == 'hang':
            idle.wait(20)
            return None
        if kind == 'garbage':
            return self.answer(200, b'\x00\xff{not json')
        if kind == 'list':
            return self.answer(200, b'[1,2]')
        if kind == 'notoken':
            return self.answer(200, {'SessionId': name, 'TokenValue': None, 'StreamUrl': None})
        if kind == 'plainurl':
            return self.answer(200, dict(session, StreamUrl='ws://plain.test/'))
        if kind == 'big':
            return self.answer(200, b' ' * (1 << 20) + json.dumps(session).encode())
        if kind == 'brim':  # exactly 1 MiB
            data = json.dumps(session).encode()
            return self.answer(200, b' ' * ((1 << 20) - len(data)) + data)
        if kind == 'redirect':
            return self.answer(302, b'', headers=[('Location', 'http://127.0.0.1:1/')])
        if kind == 'prefixed':
            return self.answer(400, {'__type': 'com.amazon.coral.service#AccessDeniedException:http://x',
                                     'Message': 'User: \x1b[31mx is not authorized'})
        if kind == 'header':
            return self.answer(400, b'{}', headers=[('x-amzn-ErrorType', 'TargetNotConnected:')])
        if kind == 'skewed':
            self.date_time_string = lambda timestamp=None: 'Thu, 01 Jan 2015 00:00:00 GMT'
            return self.fail(400, 'InvalidSignatureException', 'Signature expired')
        if kind == '404':
            return self.answer(404, b'<html>no</html>')
        if kind.startswith('off.'):
            return self.fail(400, 'TargetNotConnected', '%s is not connected.' % name)
        if kind == 'after':  # wants a second's pause, and says what it got
            before, last[name] = last.get(name, 0), time.monotonic()
            if count == 1:
                return self.fail(400, 'ThrottlingException', 'Rate exceeded', headers=[('Retry-After', '1')])
            return self.answer(200, dict(session, SessionId='paused-%d' % round((last[name] - before) * 10)))
        if kind.startswith('clock'):  # a service that many seconds ahead of this machine
            return self.clocked(session, int(kind[len('clock'):]))
        if kind == 'expired':  # for all but one key
            if 'Credential=AKIDTEST/' in self.headers['Authorization']:
                return self.answer(200, session)
            return self.fail(400, 'ExpiredTokenException', 'The security token included in the request is expired')
        if kind == 'cut':
            self.send_response(200)
            self.send_header('Content-Length', '1000')
            self.end_headers()
            self.wfile.write(b'{')
            self.close_connection = True
            return None
        if kind == 'count':
            return self.answer(200, dict(session, SessionId='count-%d' % seen[request['Reason']]))
        if kind.startswith('code.'):
            code = kind[len('code.'):]
            return self.fail(400, code, 'says ' + code)
        return self.fail(400, 'ValidationException', 'unknown case ' + kind)


    def clocked(self, session, ahead):
        """As a service that refuses what is dated 5 minutes off."""
        now = time.time() + ahead
        self.date_time_string = lambda timestamp=None: email.utils.formatdate(now, usegmt=True)
        dated = calendar.timegm(time.strptime(self.headers['X-Amz-Date'], '%Y%m%dT%H%M%SZ'))
        if abs(dated - now) > 300:
            return self.fail(400, 'InvalidSignatureException', 'Signature expired')
        return self.answer(200, dict(session, SessionId='off-by-%d' % round(abs(dated - now) / 10)))

    def information(self, name, kind):
        """What is told of a target that is offline; one answer a kind."""
        info = {'InstanceId': name, 'PingStatus': 'ConnectionLost', 'LastPingDateTime': time.time() - 3 * 3600 - 60.5,
                'AgentVersion': '3.1.0.0'}
        if not kind.startswith('off.'):
            return self.fail(400, 'ValidationException', 'not asked for')
        if kind == 'off.denied':
            return self.fail(400, 'AccessDeniedException', 'no')
        if kind == 'off.hang':
            idle.wait(20)
            return None
        if kind == 'off.online':
            info.update(PingStatus='Online', LastPingDateTime=time.time() - 20)
        return self.answer(200, {'InstanceInformationList': [] if kind == 'off.none' else [info]})

    def pages(self, kind, request):
        """"s-N.M.L": N pages of M sessions, named by their number, of L bytes each."""
        pages, each, size = map(int, kind.split('.'))
        page = int(request.get('NextToken', '0'))
        answer = {'Sessions': [{'SessionId': str(page * each + i).zfill(size)} for i in range(each)]}
        if page + 1 < pages:
            answer['NextToken'] = str(page + 1)
        return self.answer(200, answer)


class Proxy(http.server.BaseHTTPRequestHandler):
    """CONNECT only; the user must be "u", the password "p", unless the target's port is odd to it"""

    def log_message(self, *args):
        pass

    def do_CONNECT(self):
        if self.headers.get('Proxy-Authorization') != 'Basic dTpw':
            self.send_error(407)
            return
        host, port = self.path.rsplit(':', 1)
        if host == 'forbidden.test':
            self.send_error(403)
            return
        far = socket.create_connection(('127.0.0.1', int(port)))
        self.send_response(200)
        self.end_headers()
        ends = [self.connection, far]
        while True:
            for end in select.select(ends, [], [])[0]:
                data = end.recv(65536)
                if not data:
                    far.close()
                    self.close_connection = True
                    return
                ends[1 - ends.index(end)].sendall(data)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def listen(handler, tls=None):
    server = Server(('127.0.0.1', 0), handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *args: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main():
    folder = tempfile.mkdtemp(prefix='ssm-server-')
    pem = os.path.join(folder, 'ca.pem')
    key = os.path.join(folder, 'key.pem')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days',
                    '2', '-subj', '/CN=ssm test', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:ssm.test', '-keyout', key,
                    '-out', pem], check=True, stderr=subprocess.DEVNULL)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem, key)
    closed = socket.socket()
    closed.bind(('127.0.0.1', 0))  # bound, never listening
    print(listen(Handler), listen(Handler, tls), listen(Proxy), closed.getsockname()[1], folder, flush=True)
    sys.stdin.read()
    idle.set()
    shutil.rmtree(folder)


if __name__ == '__main__':
    main()
