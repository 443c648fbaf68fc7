# SPDX-License-Identifier: MIT
"""A CA of this play alone and a server certificate by it, made anew at each start with the openssl program."""
import ipaddress
import os
import subprocess

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def _openssl(*argv):
    r = subprocess.run(["openssl", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if r.returncode:
        raise RuntimeError("openssl %s: %s" % (argv[0], r.stdout.decode(errors="replace").strip()[-400:]))


def _san(name):
    try:
        return "IP:%s" % ipaddress.ip_address(name)
    except ValueError:
        return "DNS:" + name


def make(folder, names):
    """Returns the paths (ca, certificate, key)."""
    ca, ca_key, cert, key, request, ext = (os.path.join(folder, n) for n in (
        "ca.pem", "ca.key", "server.pem", "server.key", "server.csr", "server.ext"))
    _openssl("req", "-x509", *EC, "-days", "3", "-subj", "/CN=play CA", "-addext", "keyUsage=critical,keyCertSign", "-keyout", ca_key,
             "-out", ca)
    with open(ext, "w") as f:
        f.write("subjectAltName=%s\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n" % ",".join(_san(n) for n in names))
    _openssl("req", *EC, "-subj", "/CN=play", "-keyout", key, "-out", request)
    _openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", ext, "-out", cert)
    os.unlink(ca_key)  # nobody signs with it again
    os.chmod(ca, 0o644)
    return ca, cert, key
