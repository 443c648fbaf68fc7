#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""play.py - plays the AWS services that ssm-tun uses, for tests: SSO, OIDC, STS, EC2, Instance Connect, Route 53, KMS, SSM, IMDS

    tests/aws/play.py [--listen HOST:PORT]… [--plain HOST:PORT] [--imds HOST:PORT] [--container HOST:PORT] [--names NAME]…

Prints one line of JSON when it is ready (ports, CA, control address, the first user's keys) and ends when its stdin does.
Theory of operation: a World (playing/world.py) holds all state; server.py finds the service of a request, sign.py checks who
signed it, the service's module answers, wire.py puts that into the protocol's words; control.py is how a test scripts the
play and looks at what was asked. Nothing is kept on disk but the CA and certificate, in a folder that goes at the end.
"""
import argparse
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

try:
    from playing import control, ec2, metadata, pki, server, ssm, sso
    from playing.world import ACCOUNT, World, key_id
except ImportError as e:
    print("play: %s (python3-botocore is needed)" % e, file=sys.stderr)
    sys.exit(77)


FIRST = (key_id("AKIA"), secrets.token_urlsafe(30))  # the first user's keys: in the ready line, and after a reset


def fill(world):
    """What is there at the start."""
    world.user_add("arn:aws:iam::%s:user/alice" % ACCOUNT, *FIRST)
    world.sso, world.ec2, world.ssm = sso.Sso(), ec2.standard(), ssm.standard(int(world.now()))
    world.imds = metadata.standard()
    world.zones = [{"id": "Z0123456789ABCDEFGHIJ", "name": "prod.internal.", "vpcs": [{"VPCId": ec2.VPC, "VPCRegion": "us-east-1"}]}]
    world.kms_keys = {"alias/play": "arn:aws:kms:us-east-1:%s:key/01234567-89ab-cdef-0123-456789abcdef" % ACCOUNT}


def main():
    parser = argparse.ArgumentParser(description="plays AWS for tests")
    parser.add_argument("--listen", action="append", help="TLS, all AWS services (127.0.0.1:0); may be repeated")
    parser.add_argument("--plain", help="the same without TLS")
    parser.add_argument("--imds", default="127.0.0.1:0", help="instance metadata, plain HTTP (127.0.0.1:0)")
    parser.add_argument("--container", default="127.0.0.1:0", help="container credentials, plain HTTP (127.0.0.1:0)")
    parser.add_argument("--control", default="127.0.0.1:0", help="control interface (127.0.0.1:0)")
    parser.add_argument("--names", action="append", default=[], help="a name or address that the certificate is for, too")
    options = parser.parse_args()
    world = World(fill)
    folder = tempfile.mkdtemp(prefix="play-")
    for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(s, lambda *_: sys.exit(1))
    try:
        os.chmod(folder, 0o755)
        listens = options.listen or ["127.0.0.1:0"]
        hosts = [a.rpartition(":")[0].strip("[]") for a in listens]
        names = dict.fromkeys(["127.0.0.1", "::1", "localhost"] + hosts + options.names)
        ca, cert, key = pki.make(folder, names)
        tls = server.tls_context(cert, key)
        ports = [server.listen(world, a, server.serve_api, tls) for a in listens]
        where = dict(zip(listens, ports))
        first = listens[0].rpartition(":")[0]
        ready = {"https": ports[0], "url": "https://%s:%d" % (first, ports[0]), "listens": where, "ca": ca, "pid": os.getpid(),
                 "imds": server.listen(world, options.imds, metadata.imds),
                 "container": server.listen(world, options.container, metadata.container),
                 "control": server.listen(world, options.control, control.control, noted=False),
                 "access_key": FIRST[0], "secret_key": FIRST[1]}
        if options.plain:
            ready["http"] = server.listen(world, options.plain, server.serve_api)
        print(json.dumps(ready), flush=True)
        sys.stdin.buffer.read()
    finally:
        world.stopping.set()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
