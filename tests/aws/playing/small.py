# SPDX-License-Identifier: MIT
"""EC2 Instance Connect, KMS and Route 53: one operation each.

Instance Connect can put the key where a real sshd looks: world.connect["authorized_keys"] names a file to which the key is
added as one line, and from which that line goes again after `life_s` (60 s at EC2). The file is replaced, never half-written.
"""
import base64
import os
import re
import secrets
import threading
import uuid

from .wire import ApiError, Members

KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+={0,2}( [^\n]*)?")
_file_lock = threading.Lock()


def _rewrite(path, change):
    with _file_lock:
        try:
            with open(path) as f:
                lines = f.read().splitlines()
        except FileNotFoundError:
            lines = []
        change(lines)
        with open(path + ".new", "w") as f:
            f.write("".join(line + "\n" for line in lines))
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)


def send_ssh_public_key(world, request):
    ident, user, key = request.need("InstanceId", "InstanceOSUser", "SSHPublicKey")
    if not re.fullmatch(r"i-[a-f0-9]{8,17}", ident) or len(user) > 32 or not 80 <= len(key) <= 4096:
        raise ApiError("ValidationException", "1 validation error detected")
    if not KEY.fullmatch(key.strip()):
        raise ApiError("InvalidArgsException", "Provided key is not in a supported format")
    with world.lock:
        rows = [r for r in world.ec2["instances"] if r["instanceId"] == ident]
        path, life_s = world.connect.get("authorized_keys"), world.connect.get("life_s", 60)
    if not rows:
        raise ApiError("EC2InstanceNotFoundException", "No instances were found.")
    if rows[0]["instanceState"]["name"] != "running":
        raise ApiError("EC2InstanceStateInvalidException", "Instance is not in running state")
    zone = request.params.get("AvailabilityZone")
    if zone and zone != rows[0]["placement"]["availabilityZone"]:
        raise ApiError("EC2InstanceNotFoundException", "Instance not found in this availability zone")
    if path:
        line = key.strip()
        _rewrite(path, lambda lines: lines.append(line))
        timer = threading.Timer(life_s, _rewrite, (path, lambda lines: line in lines and lines.remove(line)))
        timer.daemon = True
        timer.start()
    return {"RequestId": str(uuid.uuid4()), "Success": True}


def generate_data_key(world, request):
    ident = request.need("KeyId")
    n = request.params.get("NumberOfBytes")
    spec = request.params.get("KeySpec")
    if (n is None) == (spec is None):
        raise ApiError("ValidationException", "Please specify either number of bytes or key spec.")
    n = n if spec is None else {"AES_256": 32, "AES_128": 16}.get(spec)
    if not isinstance(n, int) or not 1 <= n <= 1024:
        raise ApiError("ValidationException", "1 validation error detected: Value '%s' at 'numberOfBytes'" % n)
    with world.lock:
        arn = world.kms_keys.get(ident)
        if arn is None:
            raise ApiError("NotFoundException", "Invalid keyId '%s'" % ident)
        plain, blob = secrets.token_bytes(n), secrets.token_bytes(n + 120)
        world.kms_keys.setdefault("issued", {})[base64.b64encode(blob).decode()] = {
            "plain": base64.b64encode(plain).decode(), "context": request.params.get("EncryptionContext") or {}}
    return {"CiphertextBlob": base64.b64encode(blob).decode(), "Plaintext": base64.b64encode(plain).decode(), "KeyId": arn}


def list_hosted_zones_by_vpc(world, request):
    vpc, region = request.need("vpcid", "vpcregion")
    size, token = request.query.get("maxitems", "100"), request.query.get("nexttoken")
    if not size.isdigit() or not 1 <= int(size) <= 100:
        raise ApiError("InvalidInput", "maxitems is not valid")
    with world.lock:
        rows = [z for z in world.zones if {"VPCId": vpc, "VPCRegion": region} in z["vpcs"]]
    if token is not None and not (token.isdigit() and int(token) < len(rows)):
        raise ApiError("InvalidPaginationToken", "The pagination token that was provided is not valid")
    at, n = int(token or 0), min(int(size), world.ec2.get("page_max") or 100)
    shown = [{"HostedZoneId": z["id"], "Name": z["name"], "Owner": {"OwningAccount": z.get("account", "123456789012")}}
             for z in rows[at:at + n]]
    return {"HostedZoneSummaries": Members("HostedZoneSummary", shown), "MaxItems": size,
            "NextToken": str(at + n) if at + n < len(rows) else None}


CONNECT = {"SendSSHPublicKey": send_ssh_public_key}
KMS = {"GenerateDataKey": generate_data_key}
ROUTE53 = {"ListHostedZonesByVPC": list_hosted_zones_by_vpc}
