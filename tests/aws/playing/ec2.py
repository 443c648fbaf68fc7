# SPDX-License-Identifier: MIT
"""EC2's describing operations, over records that a test can replace (ec2 protocol: flat parameters in, XML out).

Theory of operation: KINDS has one row an operation: where its records are, the parameter of ids, the id's name, the limits
of MaxResults, and what each filter compares. A record is kept in the words of the XML answer, so that what a test loads is what
a client reads. Filters are ANDed, their values ORed, with * and ? as at EC2. A page's token names the operation, the question and
where to go on; any other is refused.
"""
import base64
import copy
import fnmatch
import hashlib
import json
import re

from .wire import ApiError
from .world import ACCOUNT

VPC, PEER_VPC = "vpc-0a1b2c3d4e5f60001", "vpc-0a1b2c3d4e5f60002"
PLIST = "pl-0a1b2c3d4e5f60001"


def tags(**values):
    return [{"key": k, "value": v} for k, v in values.items()]


def instance(ident, name=None, ip="10.77.0.10", vpc=VPC, subnet="subnet-0a1b2c3d4e5f60001", zone="us-east-1a", state="running", **more):
    code = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}[state]
    row = {"instanceId": ident, "imageId": "ami-0a1b2c3d4e5f60001", "instanceState": {"code": code, "name": state},
           "privateDnsName": "ip-%s.ec2.internal" % ip.replace(".", "-"), "dnsName": "", "instanceType": "t3.micro",
           "placement": {"availabilityZone": zone, "groupName": "", "tenancy": "default"}, "subnetId": subnet, "vpcId": vpc,
           "privateIpAddress": ip, "tagSet": tags(Name=name) if name else [],
           "networkInterfaceSet": [{"networkInterfaceId": "eni-" + ident[2:], "privateIpAddress": ip, "privateIpAddressesSet":
                                    [{"privateIpAddress": ip, "primary": True}]}]}
    row.update(more)
    return row


def standard():
    """A VPC with two CIDRs and IPv6, two subnets, a peering, a prefix list, and one bastion."""
    return {
        "instances": [instance("i-0a1b2c3d4e5f60001", "bastion")],
        "vpcs": [{"vpcId": VPC, "ownerId": ACCOUNT, "state": "available", "cidrBlock": "10.77.0.0/16", "isDefault": False,
                  "cidrBlockAssociationSet": [
                      {"associationId": "vpc-cidr-assoc-%d" % i, "cidrBlock": c, "cidrBlockState": {"state": s}}
                      for i, (c, s) in enumerate((("10.77.0.0/16", "associated"), ("100.64.0.0/16", "associated"),
                                                  ("10.78.0.0/16", "disassociated")))],
                  "ipv6CidrBlockAssociationSet": [{"associationId": "vpc-cidr-assoc-6", "ipv6CidrBlock": "fd77::/56",
                                                   "ipv6CidrBlockState": {"state": "associated"}}], "tagSet": tags(Name="prod")}],
        "subnets": [{"subnetId": "subnet-0a1b2c3d4e5f6000%d" % i, "vpcId": VPC, "cidrBlock": "10.77.%d.0/24" % (i - 1),
                     "availabilityZone": "us-east-1" + "ab"[i - 1], "state": "available", "availableIpAddressCount": 251,
                     "ownerId": ACCOUNT, "ipv6CidrBlockAssociationSet": [], "tagSet": []} for i in (1, 2)],
        "route_tables": [{"routeTableId": "rtb-0a1b2c3d4e5f60001", "vpcId": VPC, "ownerId": ACCOUNT, "routeSet": [
            {"destinationCidrBlock": "10.77.0.0/16", "gatewayId": "local", "state": "active", "origin": "CreateRouteTable"},
            {"destinationCidrBlock": "10.88.0.0/16", "vpcPeeringConnectionId": "pcx-0a1b2c3d4e5f60001", "state": "active",
             "origin": "CreateRoute"},
            {"destinationCidrBlock": "10.89.0.0/16", "vpcPeeringConnectionId": "pcx-0a1b2c3d4e5f60001", "state": "blackhole",
             "origin": "CreateRoute"},
            {"destinationPrefixListId": PLIST, "transitGatewayId": "tgw-0a1b2c3d4e5f60001", "state": "active", "origin": "CreateRoute"},
            {"destinationCidrBlock": "0.0.0.0/0", "natGatewayId": "nat-0a1b2c3d4e5f60001", "state": "active", "origin": "CreateRoute"}],
            "associationSet": [{"routeTableAssociationId": "rtbassoc-1", "routeTableId": "rtb-0a1b2c3d4e5f60001", "main": True,
                                "associationState": {"state": "associated"}}], "tagSet": []}],
        "peerings": [{"vpcPeeringConnectionId": "pcx-0a1b2c3d4e5f60001",
                      "requesterVpcInfo": {"ownerId": ACCOUNT, "vpcId": VPC, "cidrBlock": "10.77.0.0/16", "region": "us-east-1",
                                           "cidrBlockSet": [{"cidrBlock": "10.77.0.0/16"}]},
                      "accepterVpcInfo": {"ownerId": ACCOUNT, "vpcId": PEER_VPC, "cidrBlock": "10.88.0.0/16", "region": "us-east-1",
                                          "cidrBlockSet": [{"cidrBlock": "10.88.0.0/16"}]},
                      "status": {"code": "active", "message": "Active"}, "tagSet": []}],
        "prefix_lists": [{"prefixListId": PLIST, "addressFamily": "IPv4", "state": "create-complete", "maxEntries": 10, "version": 1,
                          "prefixListArn": "arn:aws:ec2:us-east-1:%s:prefix-list/%s" % (ACCOUNT, PLIST), "prefixListName": "offices",
                          "ownerId": ACCOUNT, "tagSet": []}],
        "prefix_entries": {PLIST: [{"cidr": "172.20.%d.0/24" % i, "description": "office %d" % i} for i in range(3)]},
    }


def _tags_of(row, name):
    pairs = row.get("tagSet", [])
    if name == "tag-key":
        return [t["key"] for t in pairs]
    return [t["value"] for t in pairs if name == "tag:" + t["key"]]


def _at(*path):
    """Reads a member of a record, through lists."""
    def read(row):
        found = [row]
        for name in path:
            found = [x[name] for x in found if isinstance(x, dict) and x.get(name) is not None]
            found = [y for x in found for y in (x if isinstance(x, list) else [x])]
        return [("true" if x else "false") if isinstance(x, bool) else str(x) for x in found]
    return read


# operation: (records, set element, parameter of ids, member with the id, pattern, NotFound code, (min, max) results, filters)
KINDS = {
    "DescribeInstances": ("instances", None, "InstanceId", "instanceId", "i-[0-9a-f]{8,17}", "InvalidInstanceID", (5, 1000), {
        "instance-id": _at("instanceId"), "instance-state-name": _at("instanceState", "name"), "vpc-id": _at("vpcId"),
        "private-dns-name": _at("privateDnsName"), "private-ip-address": _at("privateIpAddress"), "subnet-id": _at("subnetId"),
        "network-interface.addresses.private-ip-address": _at("networkInterfaceSet", "privateIpAddressesSet", "privateIpAddress"),
        "availability-zone": _at("placement", "availabilityZone"), "dns-name": _at("dnsName"), "ip-address": _at("ipAddress")}),
    "DescribeVpcs": ("vpcs", "vpcSet", "VpcId", "vpcId", "vpc-[0-9a-f]{8,17}", "InvalidVpcID", (5, 1000), {
        "vpc-id": _at("vpcId"), "cidr": _at("cidrBlock"), "state": _at("state"), "is-default": _at("isDefault")}),
    "DescribeSubnets": ("subnets", "subnetSet", "SubnetId", "subnetId", "subnet-[0-9a-f]{8,17}", "InvalidSubnetID", (5, 1000), {
        "subnet-id": _at("subnetId"), "vpc-id": _at("vpcId"), "cidr-block": _at("cidrBlock"), "state": _at("state"),
        "availability-zone": _at("availabilityZone")}),
    "DescribeRouteTables": ("route_tables", "routeTableSet", "RouteTableId", "routeTableId", "rtb-[0-9a-f]{8,17}",
                            "InvalidRouteTableID", (5, 100), {
        "route-table-id": _at("routeTableId"), "vpc-id": _at("vpcId"), "association.subnet-id": _at("associationSet", "subnetId"),
        "association.main": _at("associationSet", "main"), "route.state": _at("routeSet", "state")}),
    "DescribeVpcPeeringConnections": ("peerings", "vpcPeeringConnectionSet", "VpcPeeringConnectionId", "vpcPeeringConnectionId",
                                      "pcx-[0-9a-f]{8,17}", "InvalidVpcPeeringConnectionID", (5, 1000), {
        "vpc-peering-connection-id": _at("vpcPeeringConnectionId"), "status-code": _at("status", "code"),
        "requester-vpc-info.vpc-id": _at("requesterVpcInfo", "vpcId"), "accepter-vpc-info.vpc-id": _at("accepterVpcInfo", "vpcId")}),
    "DescribeManagedPrefixLists": ("prefix_lists", "prefixListSet", "PrefixListId", "prefixListId", "pl-[0-9a-f]{8,17}",
                                   "InvalidPrefixListID", (1, 100), {
        "prefix-list-id": _at("prefixListId"), "prefix-list-name": _at("prefixListName"), "owner-id": _at("ownerId")}),
}


def _numbered(params, name):
    rows = [(int(m.group(1)), v) for k, v in params.items() for m in [re.fullmatch(re.escape(name) + r"\.(\d+)", k)] if m]
    return [v for _, v in sorted(rows)]


def _filters(params):
    found, i = [], 1
    while "Filter.%d.Name" % i in params:
        found.append((params["Filter.%d.Name" % i], _numbered(params, "Filter.%d.Value" % i)))
        i += 1
    return found


def _by_filters(rows, filters, readers):
    for name, values in filters:
        read = readers.get(name)
        if read is None:
            if name != "tag-key" and not name.startswith("tag:"):
                raise ApiError("InvalidParameterValue", "The filter '%s' is invalid" % name)
            read = lambda row, name=name: _tags_of(row, name)  # noqa: E731
        rows = [r for r in rows if any(fnmatch.fnmatchcase(have, want.replace("[", "[[]")) for have in read(r) for want in values)]
    return rows


def _by_ids(rows, ids, member, pattern, code):
    for ident in ids:
        if not re.fullmatch(pattern, ident):
            raise ApiError(code + ".Malformed", "Invalid id: \"%s\"" % ident)
        if all(r[member] != ident for r in rows):
            raise ApiError(code + ".NotFound", "The ID '%s' does not exist" % ident)
    return [r for r in rows if r[member] in ids] if ids else rows


def page(request, rows, limits):
    """The rows of this page and the token of the next or None."""
    asked = {k: v for k, v in request.params.items() if k != "NextToken"}
    mark = hashlib.sha256(json.dumps([request.operation, asked], sort_keys=True).encode()).hexdigest()[:24]
    at, size = 0, request.params.get("MaxResults")
    token = request.params.get("NextToken")
    if token:
        m = re.fullmatch(r"([0-9a-f]{24})\.(\d{1,9})", base64.urlsafe_b64decode(token + "==").decode(errors="replace")) \
            if re.fullmatch(r"[\w-]+", token) else None
        if not m or m.group(1) != mark:
            raise ApiError("InvalidParameterValue", "The token '%s' is invalid" % token[:60])
        at = int(m.group(2))
    n = limits[1]
    if size is not None:
        n = int(size) if size.isdigit() else 0
        if not limits[0] <= n <= limits[1]:
            raise ApiError("InvalidParameterValue", "Value ( %s ) for parameter maxResults is invalid. Expecting a value greater "
                                                    "than or equal to %d and less than or equal to %d." % ((size,) + limits))
    n = min(n, request.page_max) if getattr(request, "page_max", 0) else n
    more = at + n < len(rows)
    return rows[at:at + n], base64.urlsafe_b64encode(b"%s.%d" % (mark.encode(), at + n)).decode().rstrip("=") if more else None


def describe(world, request):
    records, element, param, member, pattern, code, limits, readers = KINDS[request.operation]
    with world.lock:
        rows, request.page_max = copy.deepcopy(world.ec2[records]), world.ec2.get("page_max", 0)
    ids = _numbered(request.params, param)
    if ids and request.params.get("MaxResults"):
        raise ApiError("InvalidParameterCombination", "The parameter %s cannot be used with the parameter maxResults" % param)
    rows = _by_filters(_by_ids(rows, ids, member, pattern, code), _filters(request.params), readers)
    rows, token = page(request, rows, limits)
    if element is None:
        element = "reservationSet"
        rows = [{"reservationId": "r-" + r["instanceId"][2:], "ownerId": ACCOUNT, "groupSet": [], "instancesSet": [r]} for r in rows]
    return {element: rows, "nextToken": token}


def get_prefix_entries(world, request):
    ident = request.need("PrefixListId")
    with world.lock:
        rows, request.page_max = world.ec2["prefix_entries"].get(ident), world.ec2.get("page_max", 0)
    if rows is None:
        raise ApiError("InvalidPrefixListID.NotFound", "The prefix list ID '%s' does not exist." % ident)
    rows, token = page(request, copy.deepcopy(rows), (1, 100))
    return {"entrySet": rows, "nextToken": token}


OPERATIONS = {**{name: describe for name in KINDS}, "GetManagedPrefixListEntries": get_prefix_entries}
