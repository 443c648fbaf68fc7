# SPDX-License-Identifier: MIT
"""The whole machine through the tunnel, and nothing beside it."""
import glob
import os
import socket

from lab import LINK_C, ROOT, check, connect_error
from netns import wait_until
from scenarios import scenario
from scenarios.rules import device_of, relay
from world import PUBLIC4, Sniffer, UPLINK_U4, World, dig, fetch, page

ENDPOINT = "100.126.1.1"  # the service, beyond the default route
FAR4, FAR6 = "100.126.2.2", "2001:db8:2::2"  # a public host: the uplink has one of these addresses, the VPC another
METADATA = "169.254.169.254"
GATEWAY_2 = "198.51.100.3"  # another router on the uplink


def prepare(lab, world):
    """The service beyond the default route; hosts that are there twice, so that a page tells by which way it came."""
    ip = lab._ip
    ip(world.u, "addr add %s/32 dev lo" % ENDPOINT, "addr add %s/32 dev lo" % FAR4, "addr add %s/128 dev lo nodad" % FAR6,
       "addr add %s/32 dev lo" % METADATA, "addr add %s/24 dev uc" % GATEWAY_2, "route add %s/32 via 198.51.100.2" % LINK_C)
    ip(lab.v, "addr add %s/32 dev lo" % FAR4, "addr add %s/32 dev lo" % METADATA)
    for address, ns, text in ((FAR4, world.u, "beside"), (FAR6, world.u, "beside"), (METADATA, world.u, "local metadata"),
                              (FAR4, lab.v, "through"), (METADATA, lab.v, "the VPC's metadata")):
        lab.serve(page(text), address, 80, v=ns)
    world.write_table("one", **{"far.public.test": {"A": [FAR4], "AAAA": [FAR6]}, "www.public.test": {"A": [FAR4]}})
    world.write_table("public", **{"far.public.test": {"A": [FAR4], "AAAA": [FAR6]}})
    lab.gateway_names = [ENDPOINT]
    world.start()
    return lab.serve(relay((LINK_C, lab.gateway_ports["control"])), ENDPOINT, v=world.u)


def config(lab, world, port, dns=None, **more):
    aws = {"endpoint_url": "https://%s:%d" % (ENDPOINT, port), "data_endpoint": "%s:%d" % (ENDPOINT, port)}
    c = world.config(dns=dns, one={"aws": aws, "ipv6": False}, default="one", tun={"mode": "system"}, **more)
    return c


def beside(packets, port):
    """What left by the uplink and should not have: anything but the tunnel's own connection and the neighbours' protocols."""
    found = []
    for p in packets:
        own = p.version == 4 and p.dst == ENDPOINT and p.proto == 6 and p.dport == port
        neighbours = p.version == 0 or p.version == 6 and p.link_only()  # ARP; neighbour discovery, MLD
        if not own and not neighbours:
            found.append(p)
    return found


def use_the_network(lab):
    """What programs of a machine do: names, IPv4, IPv6, UDP, a resolver of their own choice."""
    fetch(lab, FAR4, "through")
    fetch(lab, "far.public.test", "through")
    check(dig(lab, "far.public.test") == [FAR4], "the name: %s" % dig(lab, "far.public.test"))
    dig(lab, "far.public.test", "+tcp")
    dig(lab, "far.public.test", "@8.8.8.8", "+time=1", "+tries=1")
    what, s = connect_error(FAR6, 80, 5)
    check(what in ("ENETUNREACH", "EHOSTUNREACH", "EACCES") and s < 1, "IPv6 that nobody carries: %s after %.1f s" % (what, s))
    for address, port in ((FAR4, 443), ("8.8.4.4", 53)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"x" * 40, (address, port))
    fetch(lab, "db.one.internal", "one")
    fetch(lab, "db.two.internal", "two")


def discover(lab):
    """What a DHCP client without an address says, and one that renews: both are the uplink's. Returns nothing; see the wire."""
    for to in ("255.255.255.255", UPLINK_U4):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if to == "255.255.255.255":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"cu")
            s.bind(("", 68))
            s.sendto(bytes(240), (to, 67))


def is_dhcp(p):
    return p.proto == 17 and (p.sport, p.dport) == (68, 67)


def one_value(lab, world, port, rp_filter):
    for key in ("all", "default", "cu", "vc", "vc2"):
        lab.must("sysctl", "-qw", "net.ipv4.conf.%s.rp_filter=%d" % (key, rp_filter))
    fetch(lab, FAR4, "beside")
    before = lab.picture()
    world.up(config(lab, world, port))
    device = lab.status()["device"]
    with Sniffer(device) as tun, Sniffer("cu") as wire:
        use_the_network(lab)
        # Another router: the tunnel's own connection goes on by it, and never by itself.
        lab.must("ip", "route", "replace", "default", "via", GATEWAY_2)
        use_the_network(lab)
        lab.must("ip", "route", "del", "default")
        lab.must("ip", "route", "add", "default", "via", UPLINK_U4)
        use_the_network(lab)
        lab.run("ping", "-n", "-c", "1", "-W", "1", FAR6)
        discover(lab)
        check(device_of(METADATA) == "cu", "IMDS goes to " + device_of(METADATA))
        fetch(lab, METADATA, "local metadata")
    own = [p for p in tun.out(raw_ip=True) if p.dst == ENDPOINT]
    check(not own, "rp_filter %d: %d packets of the tunnel's own entered the TUN" % (rp_filter, len(own)))
    check(tun.packets, "the TUN carried nothing")
    leaked = [p for p in beside(wire.out(), port) if p.dst != METADATA and not is_dhcp(p)]
    check(not leaked, "rp_filter %d: beside the tunnel left %s" % (rp_filter, leaked[:6]))
    check(wire.out(), "nothing was heard on the uplink")
    check(device_of("198.51.100.77") == "cu", "the local network goes to " + device_of("198.51.100.77"))
    served = [p.dst for p in wire.out() if is_dhcp(p)]
    check(served == ["255.255.255.255", UPLINK_U4], "of DHCP's messages left %s" % served)
    lab.down()
    lab.daemon.wait()
    lab.expect_clean(before, 2.0)
    fetch(lab, FAR4, "beside")


@scenario("system-mode", seconds=15)
def system_mode(lab):
    """rp_filter 0, 1 and 2: nothing of the tunnel's own in the TUN, no IPv6 and no DNS beside it, IMDS local; no trace after it."""
    world = World(lab)
    port = prepare(lab, world)
    for rp_filter in (1, 0, 2):
        one_value(lab, world, port, rp_filter)


@scenario("system-no-nft")
def system_no_nft(lab):
    """Without nftables: where rp_filter is 1 system mode is refused with the sysctl to change, and nothing is left; with 2 it works, with a warning."""
    world = World(lab)
    port = prepare(lab, world)
    with open(ROOT + "/empty", "w"):
        pass
    for path in glob.glob("/usr/lib/*/libnftables.so.1"):
        lab.must("mount", "--bind", ROOT + "/empty", os.path.realpath(path))
    lab.must("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
    before = lab.picture()
    p = world.up(config(lab, world, port), wait=False)
    check(p.wait(20) == 1 and "net.ipv4.conf.all.rp_filter=2" in p.text, "up: status %s: %s" % (p.popen.returncode, p.text[-400:]))
    lab.expect_clean(before, 2.0)
    fetch(lab, FAR4, "beside")
    lab.must("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=2")
    before = lab.picture()
    p = world.up(config(lab, world, port, routes=[{"match": "10.99.0.0/16", "upstream": "one"}]))
    for i in range(2):  # news of the network are no reason to say it again
        route = "10.99.%d.0/24" % i
        lab.must("ip", "route", "add", route, "via", UPLINK_U4)
        wait_until(lambda: "throw " + route in lab.must("ip", "route", "show", "table", "5373").out, 5, "the news of %s are known" % route)
        lab.must("ip", "route", "del", route)
    for text in ("load libnftables", "nftables table inet ssm_tun", "nftables can't be used here"):
        check(p.text.count(text) == 1, "%d lines tell: %s" % (p.text.count(text), text))
    fetch(lab, FAR4, "through")
    lab.down()
    p.wait()
    lab.expect_clean(before, 2.0)


@scenario("system-choices")
def system_choices(lab):
    """System mode's ways out: `ipv6: direct`, `dns: {public: local}`; `up --system` by flag, and systemd-resolved sends all names to us."""
    world = World(lab)
    port = prepare(lab, world)
    before = lab.picture()
    world.up(config(lab, world, port, dns={"public": "local"}, ipv6="direct"))
    fetch(lab, FAR4, "through")
    fetch(lab, "[%s]" % FAR6, "beside")
    check(dig(lab, "www.public.test") == [PUBLIC4], "a public name is not asked of the former resolver: %s" % dig(lab, "www.public.test"))
    asked = {r["name"] for r in world.asked("one")}
    check("www.public.test" not in asked, "the VPC's resolver was asked for a public name")
    # To split mode and back by a reload.
    lab.write_config(world.config(one={"aws": config(lab, world, port)["upstreams"]["one"]["aws"], "ipv6": False}))
    lab.tun("reload")
    fetch(lab, FAR4, "beside")
    fetch(lab, "db.one.internal", "one")
    lab.write_config(config(lab, world, port))
    lab.tun("reload")
    fetch(lab, FAR4, "through")
    what, s = connect_error(FAR6, 80, 5)
    check(what in ("ENETUNREACH", "EHOSTUNREACH", "EACCES") and s < 1, "after the reload IPv6 is not the tunnel's: %s after %.1f s" % (what, s))
    lab.down()
    lab.daemon.wait()
    lab.expect_clean(before, 2.0)
    world.start_resolved()
    before = lab.picture()
    c = config(lab, world, port, dns={"manager": "resolved"})
    del c["tun"]
    world.up(c, "--system")
    fetch(lab, "far.public.test", "through")
    told = world.resolved_links()[lab.status()["device"]]
    check(told["default_route"] is True, "resolved was told " + str(told))
    lab.down()
    lab.daemon.wait()
    lab.expect_clean(before, 2.0)
