# SPDX-License-Identifier: MIT
"""Other networks of the machine: a bridge of containers as Docker makes it, another VPN, a LAN that overlaps."""
import socket

from lab import ROOT, V4, V6, check, connect, connect_error, random_file, recv_all
import netns
from scenarios import scenario
from scenarios.rules import device_of
from world import PUBLIC4, STACK_DNS, UPLINK_C4, World, fetch, is_fake, page

BRIDGE, CONTAINER = "172.20.0.1", "172.20.0.2"
PUBLISHED = 8080
ROUTES = [{"match": "10.77.0.0/16", "upstream": "one"}, {"match": "*.one.internal", "upstream": "one"}]


class Container:
    """A namespace behind a bridge with masquerading, a port of which is published on every address of C."""

    def __init__(self, lab):
        self.lab = lab
        self.ns, holder = lab._namespace()
        lab._ip(None, "link add br0 type bridge", "addr add %s/16 dev br0" % BRIDGE, "link set br0 up",
                "link add bc type veth peer name eth0", "link set eth0 netns %d" % holder.pid, "link set bc master br0", "link set bc up")
        lab._ip(self.ns, "link set lo up", "addr add %s/16 dev eth0" % CONTAINER, "link set eth0 up", "route add default via " + BRIDGE)
        holder.kill()
        holder.wait()
        # The kernel tells a link's state a while after it was set up: pictures of before and after must not stand on both sides of that.
        for link in "br0", "bc":
            netns.wait_until(lambda name=link: netns.ip_json("link", "show", name)[0]["operstate"] == "UP", 10, link + " is up")
        lab.must("sysctl", "-qw", "net.ipv4.ip_forward=1")
        lab.must("nft", "add table ip docker; add chain ip docker post { type nat hook postrouting priority 100; }; "
                        "add chain ip docker pre { type nat hook prerouting priority -100; }; "
                        "add rule ip docker post ip saddr 172.20.0.0/16 oifname != br0 masquerade; "
                        "add rule ip docker pre tcp dport %d fib daddr type local dnat to %s:80" % (PUBLISHED, CONTAINER))
        lab.serve(page("container"), CONTAINER, 80, v=self.ns)

    def error(self, address, port, timeout=2):
        return netns.call_in(self.ns, connect_error, address, port, timeout)[0]

    def get(self, url, timeout=10):
        return self.lab.run("curl", "-sS", "--noproxy", "*", "--max-time", str(timeout), url, v=self.ns)


def published(lab, world, when):
    """A machine outside reaches the published port."""
    r = lab.run("curl", "-sS", "--noproxy", "*", "--max-time", "5", "http://%s:%d/" % (UPLINK_C4, PUBLISHED), v=world.u)
    check(r.out == "container", "%s: the published port gives %d %r: %s" % (when, r.status, r.out[:60], r.err.strip()))


@scenario("bridge")
def bridge(lab):
    """Containers behind a bridge: published ports keep answering, split and system; containers stay out, and are in with `forward: true`."""
    world = World(lab)
    box = Container(lab)
    folder = ROOT + "/www"
    lab.must("mkdir", folder)
    with open(random_file(folder + "/big.bin", 3 << 20), "rb") as f:
        want = f.read()
    big = lab.serve_http(folder, V4)
    world.start()
    published(lab, world, "before")
    before = lab.picture()
    for label, more in (("split", {}), ("system", {"tun": {"mode": "system"}, "default": "one"}),
                        ("forward", {"forward": True}), ("forward, system", {"forward": True, "tun": {"mode": "system"}, "default": "one"})):
        world.up(world.config(ROUTES, **more))
        published(lab, world, label)
        fetch(lab, V4, "one")
        what = box.error(V4, 80)
        check((what == "open") == ("forward" in label), "%s: a container that calls the VPC gets %s" % (label, what))
        if "forward" in label:
            r = lab.run("curl", "-sS", "--noproxy", "*", "--max-time", "10", "http://%s:%d/big.bin" % (V4, big), v=box.ns, binary=True)
            check(r.out == want, "%s: %d of %d bytes reached the container" % (label, len(r.out), len(want)))
        if "system" not in label:
            r = box.get("http://%s/" % PUBLIC4)
            check(r.out == "public", "%s: a container's way to the internet: %d %r" % (label, r.status, r.out[:60]))
        published(lab, world, label + ", after traffic")
        lab.down()
        lab.daemon.wait()
        lab.expect_clean(before, 2.0)
        published(lab, world, label + ", after down")


def sink(s):
    """Reads to the end, and says how much it was."""
    n = 0
    while data := s.recv(1 << 16):
        n += len(data)
    s.sendall(b"%d" % n)


def pour(address, port, size):
    """Sends so much to a sink; what it says."""
    with connect(address, port, 20) as s:
        s.sendall(bytes(size))
        s.shutdown(socket.SHUT_WR)
        return int(recv_all(s) or 0)


@scenario("bridge-mss")
def bridge_mss(lab):
    """forward: true, over a link that takes less than its ends believe: both families, up and down; the MSS says so; the DNS server serves them."""
    world = World(lab)
    box = Container(lab)
    lab._ip(None, "addr add fd20::1/64 dev br0 nodad", "link set br0 mtu 1400", "link set bc mtu 1400")
    lab._ip(box.ns, "addr add fd20::2/64 dev eth0 nodad", "route add default via fd20::1")
    lab.must("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    size, data = 1 << 20, b"x" * (1 << 20)
    world.start()
    before = lab.picture()
    world.up(world.config(ROUTES + [{"match": "fd77::/64", "upstream": "one"}], forward=True))
    for address, headers in ((V4, 40), (V6, 60)):
        port = lab.serve(lambda s: s.sendall(data), address)
        with netns.call_in(box.ns, connect, address, port) as s:
            mss = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
            s.settimeout(20)
            got = len(recv_all(s))
        check(got == size, "%s: %d of %d bytes came down" % (address, got, size))
        check(mss <= 1400 - headers, "%s: the MSS is %d" % (address, mss))
        got = netns.call_in(box.ns, pour, address, lab.serve(sink, address), size)
        check(got == size, "%s: %d of %d bytes went up" % (address, got, size))
    fake = lab.run("dig", "+short", "+time=3", "@" + STACK_DNS, "db.one.internal", "A", v=box.ns).out.split()
    check([is_fake(a) for a in fake] == [True], "the container asks our server: %s" % fake)
    r = box.get("http://%s/" % fake[0])
    check(r.out == "one", "a fake address in the container: %d %r" % (r.status, r.out[:60]))
    lab.down()
    lab.daemon.wait()
    lab.expect_clean(before, 2.0)


def other_vpn(lab):
    """A device with networks behind it, as a VPN client makes it."""
    lab._ip(None, "link add wg0 type veth peer name wg1", "link set wg1 up", "link set wg0 up", "addr add 10.200.0.2/24 dev wg0",
            "route add 10.77.128.0/17 dev wg0", "route add 10.99.0.0/16 dev wg0")


@scenario("collisions")
def collisions(lab):
    """A second VPN and LANs that overlap: more specific and equal local routes win, each told in one line by up, check and status; changes too."""
    world = World(lab)
    world.start()
    other_vpn(lab)
    routes = ROUTES + [{"match": "10.99.0.0/16", "upstream": "one"}, {"match": "10.200.0.0/15", "upstream": "two"}]
    path = lab.write_config(world.config(routes))
    r = lab.tun("check", "-c", path)
    check(r.status == 0 and "10.99.0.0/16" in r.text and "wg0" in r.text, "check does not tell the collision: " + r.text)
    before = lab.picture()
    p = world.up(world.config(routes))
    device = lab.status()["device"]
    for address, want in ((V4, device), ("10.77.200.1", "wg0"), ("10.99.1.1", "wg0"), ("10.200.0.9", "wg0"), ("10.201.0.1", device)):
        check(device_of(address) == want, "%s goes to %s, not %s" % (address, device_of(address), want))
    told = [line for line in p.text.splitlines() if "10.99.0.0/16" in line]
    check(len(told) == 1 and "wg0" in told[0], "the equal prefix is told by %d lines: %s" % (len(told), told))
    # A LAN that comes while we are up.
    lab.must("ip", "route", "add", "10.77.64.0/18", "dev", "wg0")
    netns.wait_until(lambda: device_of("10.77.65.1") == "wg0", 2, "a LAN that came is left alone")
    p.wait_text(r"10\.77\.64\.0/18", 3)
    lab.must("ip", "route", "del", "10.77.64.0/18", "dev", "wg0")
    netns.wait_until(lambda: device_of("10.77.65.1") == device, 2, "it has gone")
    lab.must("ip", "link", "del", "wg0")
    netns.wait_until(lambda: device_of("10.99.1.1") == device, 2, "what the VPN had is ours")
    other_vpn(lab)
    lab.down()
    lab.daemon.wait()
    routes[2]["override"] = True
    world.up(world.config(routes))
    check(device_of("10.99.1.1") == lab.status()["device"], "override does not win over an equal prefix")
    lab.down()
    lab.daemon.wait()
    # Somebody else's rule in our band: refused, and shown.
    lab.must("ip", "rule", "add", "pref", "5301", "lookup", "12")
    p = lab.up(world.config(routes), wait=False)
    check(p.wait(20) == 1 and "5301" in p.text, "a foreign rule: %s %s" % (p.popen.returncode, p.text[-300:]))
    lab.must("ip", "rule", "del", "pref", "5301", "lookup", "12")
    left = [x for x in lab.picture()["network"] if x.startswith("rule") and x not in before["network"]]
    check(not left, "rules are left: %s" % left)
