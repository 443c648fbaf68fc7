#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""sso_server.py SCRIPT LOG - SSO-OIDC and the SSO portal as a test has scripted them

SCRIPT is JSON: for each operation a list of answers, given in turn, the last one again and again: {"status": 200, "body": {...}}.
"delay" waits for so many seconds before, "write": [path, text] replaces a file before, as another program would. It is read again
when it has changed, and begins anew then. LOG gets each request as a line of JSON. The port goes to stdout; the server ends when
its stdin does.
"""
import http.server
import json
import os
import sys
import threading
import time
import urllib.parse

OPERATIONS = {'/token': 'CreateToken', '/client/register': 'RegisterClient', '/device_authorization': 'StartDeviceAuthorization',
              '/federation/credentials': 'GetRoleCredentials'}
script_path, log_path = sys.argv[1:]
lock = threading.Lock()
state = {'text': None, 'script': {}, 'at': {}}


def answer_for(operation):
    with open(script_path) as f:
        text = f.read()
    if text != state['text']:
        state.update(text=text, script=json.loads(text), at={})
    at = state['at'].get(operation, 0)
    state['at'][operation] = at + 1
    answers = state['script'].get(operation)
    if not answers:
        return {'status': 500, 'body': {'message': 'not in the script'}}
    return answers[min(at, len(answers) - 1)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        operation = OPERATIONS.get(url.path, url.path)
        row = {'op': operation, 'body': json.loads(body) if body else None, 'query': dict(urllib.parse.parse_qsl(url.query)),
               'bearer': self.headers.get('x-amz-sso_bearer_token'), 'signed': 'Authorization' in self.headers}
        with lock:
            answer = answer_for(operation)
            with open(log_path, 'a') as log:
                log.write(json.dumps(row) + '\n')
            if 'write' in answer:
                path, text = answer['write']
                with open(path + '.new', 'w') as f:
                    f.write(text)
                os.rename(path + '.new', path)
        time.sleep(answer.get('delay', 0))
        text = json.dumps(answer.get('body', {})).encode()
        self.send_response(answer.get('status', 200))
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(text)))
        if 'type' in answer:
            self.send_header('x-amzn-ErrorType', answer['type'])
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = serve


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
server.handle_error = lambda *args: None
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
