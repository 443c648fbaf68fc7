# SPDX-License-Identifier: MIT
"""Rules `match: vpc`: routes and names from the target's VPC, while AWS is played by tests/aws and the gateway carries the sessions."""
import re

import netns
from lab import LINK_V, V4, check, connect, recv_exactly
from netns import wait_until
from played import INSTANCE, start
from scenarios import scenario
from scenarios.rules import device_of

VPC = "vpc-0a1b2c3d4e5f60001"
PEER4, LATER4 = "10.88.0.10", "10.90.0.10"
BLOCKS = ["10.77.0.0/16", "100.64.0.0/16"]


def vpc(*blocks):
    return {"vpcId": VPC, "cidrBlockAssociationSet": [{"cidrBlock": b, "cidrBlockState": {"state": "associated"}} for b in blocks],
            "ipv6CidrBlockAssociationSet": [{"ipv6CidrBlock": "fd77::/56", "ipv6CidrBlockState": {"state": "associated"}}]}


class Stage:
    """Far side, play and the configuration of an upstream that is the play's instance."""

    def __init__(self, lab):
        self.lab, self.instances = lab, [INSTANCE]
        self.played = start(lab)
        self.play = self.played.play
        self.played.profiles({"profile work": {}}, {"work": self.played.keys()})
        for address in (PEER4, LATER4):
            lab.must("ip", "addr", "add", address + "/32", "dev", "lo", v=True)

    def config(self, *more, refresh="1s"):
        upstream = {**self.played.upstream("work"), "instances": self.instances}
        return self.lab.config([{"match": "vpc", "upstream": "vpc"}, *more], upstream, limits={"vpc_refresh": refresh})

    def up(self, *more, flags=(), **kwargs):
        return self.lab.up(self.config(*more), *flags, **kwargs)

    def vpc(self):
        return self.lab.status()["vpcs"][0]

    def asked_again(self, times=2):
        """Waits until all of a question that began from now on has been asked."""
        since = self.play.serial()
        n = self.play.wait("DescribeVpcs", times, since)
        check(n >= times, "not asked again within 30 s")


def vpc_of(ident, *blocks):
    return {**vpc(*blocks), "vpcId": ident, "ipv6CidrBlockAssociationSet": []}


def echo(s):
    while True:
        data = s.recv(4096)
        if not data:
            return
        s.sendall(data)


def ping(flow, text=b"still here"):
    flow.sendall(text)
    check(recv_exactly(flow, len(text)) == text, "an echo differs")


def ports(lab, *addresses):
    return {a: lab.serve(echo, a) for a in addresses}


@scenario("aws-vpc", seconds=14)
def aws_vpc(lab):
    """match: vpc reaches the VPC and its peers; blocks come and go while flows live on; nothing is left at the end."""
    stage = Stage(lab)
    port = ports(lab, V4, PEER4, LATER4)
    lab.must("ip", "route", "add", "100.64.0.0/16", "via", LINK_V)  # a local network with the same prefix keeps it
    before = lab.picture()
    stage.up({"match": "10.77.55.0/24", "upstream": "direct"}, {"match": "172.20.1.0/24", "upstream": "reject"})
    device = lab.status()["device"]
    seen = stage.vpc()
    check(seen["prefixes"] == ["10.77.0.0/16", "100.64.0.0/16", "fd77::/56", "10.88.0.0/16", "172.20.0.0/24", "172.20.1.0/24",
                               "172.20.2.0/24"], "prefixes: %s" % seen["prefixes"])
    check(seen["dns_suffixes"] == ["prod.internal"] and seen["missing"] == [] and seen["vpc_id"] == VPC and
          seen["instance_id"] == INSTANCE and seen["state"] == "known", "status: %s" % seen)
    for address, ours in ((V4, True), (PEER4, True), ("172.20.2.9", True), ("fd77::10", True), ("100.64.3.3", False),
                          ("10.77.55.1", False), ("10.89.0.1", False), (LATER4, False), ("192.168.9.9", False)):
        check((device_of(address) == device) == ours, "%s goes to %s" % (address, device_of(address)))
    r = lab.tun("status")
    check("the VPC of " + INSTANCE in r.out and "names: prod.internal" in r.out, "status for people: " + r.out)

    flow, peer = connect(V4, port[V4]), connect(PEER4, port[PEER4])
    ping(flow)
    ping(peer)
    # A block that is added, in the same minute as an answer that fails and one that is denied.
    stage.play.do("set", ec2={"vpcs": [vpc(*BLOCKS, "10.90.0.0/16")]})
    wait_until(lambda: device_of(LATER4) == device, 15, "the new block is routed")
    with connect(LATER4, port[LATER4]) as later:
        ping(later)
    lab.daemon.wait_text(VPC + r", the VPC of i-\w+; added 10\.90\.0\.0/16$")
    stage.play.do("set", deny=["ec2:DescribeRouteTables", "route53:*"])
    lab.daemon.wait_text(r"what is known of vpc-\w+ is kept: the IAM identity has lost (ec2:DescribeRouteTables|route53:List)")
    stage.play.do("set", deny=[])
    stage.play.do("fault", operation="Describe*", times=-1, error="InternalError", status=500)
    lab.daemon.wait_text(r"is kept: An error occurred \(InternalError\)", 30)
    stage.play.do("clear")
    ping(flow)
    ping(peer)
    check(device_of(PEER4) == device, "an API that fails took a route away")
    # Route 53 alone fails: the names stay, told as they were.
    stage.play.do("fault", operation="ListHostedZonesByVPC", times=-1, error="InternalFailure", status=500)
    lab.daemon.wait_text(r"the private zones of vpc-\w+ are not known", 30)
    stage.asked_again()
    check(stage.vpc()["dns_suffixes"] == ["prod.internal"] and stage.vpc()["dns_error"], "status: %s" % stage.vpc())
    stage.play.do("clear")
    wait_until(lambda: "dns_error" not in stage.vpc(), 15, "the names are known again")
    check(stage.vpc()["dns_suffixes"] == ["prod.internal"] and not re.search("(added|removed) the names", lab.daemon.text), "names came or went")

    # The peering's route goes: its flow ends at once instead of hanging, the other one lives.
    table = {"routeTableId": "rtb-0a1b2c3d4e5f60001", "vpcId": VPC, "associationSet": [{"main": True}], "routeSet": [
        {"destinationCidrBlock": "10.77.0.0/16", "gatewayId": "local", "state": "active"}]}
    stage.play.do("set", ec2={"route_tables": [table]})
    wait_until(lambda: device_of(PEER4) != device, 15, "a peering that went is not routed any more")
    try:
        check(peer.recv(1) == b"" and False, "a flow without a route ended as if it were over")
    except ConnectionResetError:
        pass
    ping(flow)
    check(lab.status()["flows"]["now"] == 1, "flows: %s" % lab.status()["flows"])
    flow.close()
    lab.down()
    lab.daemon.wait()
    lab.expect_clean(before, 1.0)
    text = lab.daemon.text
    check(text.count("has lost") <= 2 and text.count("(InternalError)") == 1, "told more than once:\n" + text[-3000:])
    told = [line for line in text.splitlines() if "collides with" in line]
    check(len(told) == 1 and "100.64.0.0/16 collides with 100.64.0.0/16 on vc: the local network keeps it" in told[0], "told: %s" % told)
    check(stage.play.secret_key not in text, "a secret in the log")


@scenario("aws-vpc-denied")
def aws_vpc_denied(lab):
    """Permissions that lack: named once, and what is left works; with none `up` fails, unless --partial."""
    stage = Stage(lab)
    port = ports(lab, V4)
    before = lab.picture()
    everything = ["ec2:DescribeV*", "ec2:DescribeSubnets", "ec2:DescribeRouteTables", "route53:*"]
    stage.play.do("set", deny=everything)
    stage.up(wait=False)
    check(lab.daemon.wait(30) == 1, "up went on without any permission: " + lab.daemon.text[-600:])
    check("the IAM identity needs ec2:DescribeVpcs on *, or at least ec2:DescribeSubnets" in lab.daemon.text,
          "up does not say what is needed: " + lab.daemon.text[-900:])
    lab.expect_clean(before)

    stage.up(flags=("--partial",))
    seen = stage.vpc()
    check(seen["state"] == "failed" and "ec2:DescribeVpcs" in seen["last_error"], "status: %s" % seen)
    # Once it is granted, no restart is needed.
    stage.play.do("set", deny=["ec2:DescribeRouteTables", "route53:*"])
    device = lab.status()["device"]
    wait_until(lambda: device_of(V4) == device, 15, "the VPC is routed once it may be read")
    seen = stage.vpc()
    check(sorted(seen["missing"]) == ["ec2:DescribeRouteTables", "route53:ListHostedZonesByVPC"] and seen["last_error"] == "" and
          seen["dns_suffixes"] == [] and seen["prefixes"] == BLOCKS + ["fd77::/56"], "status: %s" % seen)
    with connect(V4, port[V4]) as s:
        ping(s)
    stage.asked_again()
    lacks = [line for line in lab.daemon.text.splitlines() if "the IAM identity lacks" in line]
    check(len(lacks) == 1 and "ec2:DescribeRouteTables" in lacks[0] and "route53:ListHostedZonesByVPC" in lacks[0], "told: %s" % lacks)
    lab.down()
    lab.daemon.wait()
    lab.expect_clean(before, 1.0)


@scenario("aws-vpc-failover")
def aws_vpc_failover(lab):
    """A session with another target, in another VPC: the routes follow at once, not at the next refresh."""
    stage = Stage(lab)
    first, other, other_vpc = lab.agent, "i-0a1b2c3d4e5f60002", "vpc-0a1b2c3d4e5f60009"
    lab.start_agent("vpc-2")
    stage.instances = ["tag:Name=bastion", other + "--us-east-1"]  # found by EC2 when the session starts
    stage.play.do("instance", id=other, vpc=other_vpc, subnet="subnet-0a1b2c3d4e5f60009", ip=LATER4)
    stage.play.do("set", ssm={"targets": {INSTANCE: lab.host_id, other: "vpc-2"}},
                  ec2={"vpcs": [vpc(*BLOCKS), vpc_of(other_vpc, "10.90.0.0/16")]})
    port = ports(lab, LATER4)
    before = lab.picture()
    lab.up(stage.config(refresh="1h"))
    device = lab.status()["device"]
    check(device_of(V4) == device and device_of(LATER4) != device, "routes: %s" % stage.vpc())
    first.stop()
    wait_until(lambda: device_of(LATER4) == device, 30, "the other target's VPC is routed")
    seen = stage.vpc()
    check(seen["instance_id"] == other and seen["vpc_id"] == other_vpc and seen["prefixes"] == ["10.90.0.0/16"], "status: %s" % seen)
    check(device_of(V4) != device, "the first VPC is still routed")
    with connect(LATER4, port[LATER4]) as s:
        ping(s)
    lab.down()
    lab.daemon.wait()
    lab.expect_clean(before, 1.0)


@scenario("aws-vpc-many")
def aws_vpc_many(lab):
    """More prefixes and names than are kept: cut and told once, the loop never stands, status fits, nothing is left."""
    stage = Stage(lab)
    plist = "pl-0a1b2c3d4e5f60001"
    entries = [{"cidr": "172.%d.%d.%d/28" % (20 + i // 2048, i // 8 % 256, i % 8 * 32)} for i in range(1500)]
    stage.play.do("set", ec2={"prefix_entries": {plist: entries}}, zones=[
        {"id": "Z%d" % i, "name": "%s%03d.internal." % ("a-long-label." * 15, i), "vpcs": [{"VPCId": VPC, "VPCRegion": "us-east-1"}]}
        for i in range(300)])
    port = ports(lab, V4)
    before = lab.picture()
    stage.up()
    seen = stage.vpc()
    check((seen["n_prefixes"], seen["n_prefixes_used"], seen["n_dns_suffixes"]) == (1024, 1024, 256), "counts: %s" % {
        k: v for k, v in seen.items() if k.startswith("n_")})
    check(seen["prefixes"][:4] == BLOCKS + ["fd77::/56", "10.88.0.0/16"] and len(seen["prefixes"]) == 1024, "what is kept is not the largest")
    check(sum(r.get("dev") == "ssm0" for r in netns.ip_json("-4", "route", "show", "table", "5373")) >= 1023, "routes")
    stage.asked_again()
    with connect(V4, port[V4]) as s:
        ping(s)
    text = lab.daemon.text
    for words in (r"reaches more than 1024 prefixes: the 480 smallest are left out", r"has more than 256 private zones: 44 are left out"):
        check(len(re.findall(words, text)) == 1, "not told once: " + words)
    check(max(map(len, text.splitlines())) < 1400, "a line of %d characters" % max(map(len, text.splitlines())))
    turn = lab.status()["loop"]["longest_turn_us"]
    lab.note("longest turn %.0f ms" % (turn / 1e3))
    check(turn < 1e6, "the loop stood for %d us" % turn)
    lab.down()
    lab.daemon.wait()
    lab.expect_clean(before, 1.0)
