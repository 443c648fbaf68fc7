#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""sign_server.py - answers each request with what is wrong with its signature, for aws_sign_test; "" if nothing is

botocore's SigV4Auth signs what came once more: with the secret that belongs to the access key id (it is made of it), and all
headers but those that libcurl adds. The port goes to stdout; the server ends when its stdin does.
"""
import http.client
import http.server
import sys
import threading
import time

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOT_SIGNED = {'authorization', 'accept', 'content-length', 'user-agent'}


def fault_of(handler, path, body):
    given = handler.headers.get('Authorization', '')
    if not given.startswith('AWS4-HMAC-SHA256 '):
        return 'no signature'
    fields = dict(f.strip().split('=', 1) for f in given.split(' ', 1)[1].split(','))
    key, date, region, service, end = fields['Credential'].split('/')
    names = [n.lower() for n in handler.headers]
    if len(set(names)) != len(names):
        return 'a header came twice: %s' % names
    if fields['SignedHeaders'] != ';'.join(sorted(set(names) - NOT_SIGNED)):
        return 'signed %s of %s' % (fields['SignedHeaders'], names)
    if [region, service, end] != [handler.headers['X-Region'], handler.headers['X-Service'], 'aws4_request']:
        return 'scope %s' % fields['Credential']
    stamp = handler.headers['X-Amz-Date']
    dated = time.mktime(time.strptime(stamp, '%Y%m%dT%H%M%SZ')) - time.timezone
    if date != stamp[:8] or abs(dated - time.time() - int(handler.headers['X-Skew'])) > 5:
        return 'dated %s' % stamp
    request = AWSRequest(method=handler.command, url='http://%s%s' % (handler.headers['Host'], path), data=body)
    request.context['timestamp'] = stamp
    auth = SigV4Auth(Credentials(key, 'secret/+' + key[::-1]), service, region)
    signed = http.client.HTTPMessage()
    for name in fields['SignedHeaders'].split(';'):
        signed[name] = handler.headers[name]
    auth.headers_to_sign = lambda _: signed
    canonical = auth.canonical_request(request)
    if fields['Signature'] != auth.signature(auth.string_to_sign(request, canonical), request):
        return 'other signature; botocore has\n' + canonical[:2000]
    return ''


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        # not self.path: that has lost a slash if it began with two
        fault = fault_of(self, self.requestline.split(' ')[1], body).encode('utf-8', 'replace')
        self.send_response(200)
        self.send_header('Content-Length', str(len(fault)))
        self.end_headers()
        self.wfile.write(fault)

    do_GET = do_PUT = do_POST


def main():
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == '__main__':
    main()
