# SPDX-License-Identifier: MIT
"""A lab with names: two VPCs of the same addresses, each with a resolver, and an internet behind C's default route.

V is the VPC of the upstream `one`, V2 that of `two`: 10.77.0.10 is another machine in each, and each knows its own zone, one.internal and
two.internal. U is the internet: a router, a public resolver and a web server. C's /etc/resolv.conf names the public resolver, and
nothing in it knows the private zones. All three resolvers are dnsplay.py, each with a table that may be changed while it runs.
"""
import glob
import ipaddress
import json
import os
import secrets
import shutil
import socket
import struct
import threading
import time

import netns
from lab import LINK_C, ROOT, V4, V6, Skip, check
from netns import wait_until

HERE = os.path.dirname(os.path.realpath(__file__))
RESOLVED = os.path.join(os.path.dirname(os.path.dirname(HERE)), ".deps", "resolved")  # unpacked, not installed
UPLINK_C4, UPLINK_U4 = "198.51.100.2", "198.51.100.1"
UPLINK_C6, UPLINK_U6 = "2001:db8:1::2", "2001:db8:1::1"
PUBLIC_DNS, PUBLIC4, PUBLIC6 = "198.51.100.53", "198.51.100.80", "2001:db8:1::80"
RESOLVER_1, RESOLVER_2 = "169.254.169.253", "10.77.0.2"  # the default, and an address of the VPC
STACK_DNS = "198.18.0.2"
FAKE = ipaddress.ip_network("198.18.0.0/16")
STUB = "127.0.0.53"
VPC6 = ipaddress.ip_network("fd77::/16")

TABLE_1 = {
    "db.one.internal": {"A": [V4], "AAAA": [V6], "TXT": ["the first"], "ttl": 60},
    "v4.one.internal": {"A": [V4]},
    "v6.one.internal": {"AAAA": [V6]},
    "alias.one.internal": {"CNAME": "db.one.internal"},
    "loop.one.internal": {"A": ["127.0.0.1"]},
    "imds.one.internal": {"A": ["169.254.169.254"]},
    "both.one.internal": {"A": ["127.0.0.1", V4]},
    "_sql._tcp.one.internal": {"SRV": [[0, 0, 5432, "db.one.internal"]]},
    "h.one.internal": {"A": [V4], "HTTPS": [[1, ".", {"alpn": ["h3"]}]]},
}
TABLE_2 = {"db.two.internal": {"A": [V4]}}
TABLE_U = {
    "www.public.test": {"A": [PUBLIC4], "AAAA": [PUBLIC6], "ttl": 60},
    "v4.public.test": {"A": [PUBLIC4]},
    "big.public.test": {"TXT": ["%02d" % i + "x" * 248 for i in range(12)]},
    "rebind.public.test": {"A": [V4]},
}


class World:
    def __init__(self, lab):
        self.lab = lab
        self.resolvers, self.tables, self.logs = {}, {}, {}
        self._networks()
        self.write_resolv_conf("nameserver %s\n" % PUBLIC_DNS)
        self.resolver("one", lab.v, TABLE_1, ["%s:53" % RESOLVER_1, "%s:53" % RESOLVER_2])
        self.resolver("two", self.v2, TABLE_2, ["%s:53" % RESOLVER_2])
        self.resolver("public", self.u, TABLE_U, ["%s:53" % PUBLIC_DNS])
        for text, ns, address in (("one", lab.v, V4), ("one", lab.v, V6), ("two", self.v2, V4),
                                  ("public", self.u, PUBLIC4), ("public", self.u, PUBLIC6)):
            lab.serve(page(text), address, 80, v=ns)

    def _networks(self):
        lab, ip = self.lab, self.lab._ip
        self.v2, holder2 = lab._namespace()
        self.u, holder_u = lab._namespace()
        ip(None, "link add vc2 type veth peer name vv2", "link set vv2 netns %d" % holder2.pid,
           "addr add 192.0.2.5/30 dev vc2", "link set vc2 up",
           "link add cu type veth peer name uc", "link set uc netns %d" % holder_u.pid,
           "addr add %s/24 dev cu" % UPLINK_C4, "addr add %s/64 dev cu nodad" % UPLINK_C6, "link set cu up",
           "route add default via " + UPLINK_U4, "route add default via " + UPLINK_U6)
        ip(lab.v, "addr add %s/32 dev lo" % RESOLVER_1, "addr add %s/32 dev lo" % RESOLVER_2)
        ip(self.v2, "link set lo up", "addr add 192.0.2.6/30 dev vv2", "link set vv2 up", "route add %s via 192.0.2.5" % LINK_C,
           "addr add %s/32 dev lo" % V4, "addr add %s/32 dev lo" % RESOLVER_2)
        ip(self.u, "link set lo up", *["addr add %s/24 dev uc" % a for a in (UPLINK_U4, PUBLIC_DNS, PUBLIC4)],
           *["addr add %s/64 dev uc nodad" % a for a in (UPLINK_U6, PUBLIC6)], "link set uc up")
        for holder in (holder2, holder_u):
            holder.kill()
            holder.wait()

    @staticmethod
    def write_resolv_conf(text):
        if os.path.islink("/etc/resolv.conf"):
            os.unlink("/etc/resolv.conf")
        with open("/etc/resolv.conf", "w") as f:
            f.write(text)

    # ---- resolvers

    def resolver(self, name, ns, table, listen, *options):
        path, log = "%s/v/dns-%s.json" % (ROOT, name), "%s/v/dns-%s.log" % (ROOT, name)
        self.tables[name], self.logs[name] = dict(table), log
        self.write_table(name)
        p = self.lab.spawn("dns-" + name, [os.path.join(HERE, "dnsplay.py"), path, "--log", log,
                                           *[a for where in listen for a in ("--listen", where)], *options], v=ns)
        p.wait_text("^ready")
        self.resolvers[name] = p
        return p

    def write_table(self, name, **more):
        """The table of that resolver, with entries added or, by None, taken out; it counts from the next query."""
        self.tables[name].update(more)
        path = "%s/v/dns-%s.json" % (ROOT, name)
        with open(path + ".new", "w") as f:
            json.dump({k: v for k, v in self.tables[name].items() if v is not None}, f)
        os.rename(path + ".new", path)

    def asked(self, name, since=0):
        """What that resolver was asked: the rows of its log."""
        try:
            with open(self.logs[name]) as f:
                return [json.loads(line) for line in f.read().splitlines()][since:]
        except FileNotFoundError:
            return []

    # ---- the tunnel

    def start(self):
        """The far sides of both VPCs."""
        lab = self.lab
        lab.start_far_side()
        first = lab.sshd, lab.agent
        lab.start_sshd(v=self.v2)
        lab.start_agent("vpc-2", v=self.v2)
        lab.sshd, lab.agent = first

    def config(self, routes=None, dns=None, one=None, two=None, **more):
        lab = self.lab
        upstreams = {"one": lab.upstream(**{"ipv6": True, **(one or {})}),
                     "two": lab.upstream(**{"instances": ["vpc-2"], "resolver": RESOLVER_2, **(two or {})})}
        c = lab.config(routes or [{"match": "*.one.internal", "upstream": "one"}, {"match": "*.two.internal", "upstream": "two"}],
                       dns={"manager": "file", **(dns or {})}, **more)
        c["upstreams"] = upstreams
        return c

    def up(self, config=None, *flags, **kwargs):
        return self.lab.up(config or self.config(), *flags, **kwargs)

    # ---- systemd-resolved, played, and itself

    def start_bus(self):
        """A bus where the system's would be."""
        os.mkdir("/run/dbus", 0o755)
        self.lab.spawn("bus", [os.path.join(os.path.dirname(HERE), "tools", "private_bus"), "/run/dbus"])
        wait_until(lambda: os.path.exists("/run/dbus/bus"), 5, "the bus")
        os.symlink("bus", "/run/dbus/system_bus_socket")

    def start_resolved(self, *options):
        """The fake on a bus where the system's would be, and a resolv.conf that names its stub."""
        lab = self.lab
        program = os.path.join(lab.build, "bin", "resolved_fake")
        if not os.path.exists(program):
            raise Skip("there is no " + program)
        shutil.copy(program, lab.bin)
        if not os.path.isdir("/run/dbus"):
            self.start_bus()
            os.makedirs("/run/systemd/resolve")
        self.resolved_state = ROOT + "/v/resolved.json"
        self.resolved = lab.spawn("resolved", ["resolved_fake", "--state", self.resolved_state, "--stub", STUB, "--global", PUBLIC_DNS,
                                               "--conf", "/run/systemd/resolve/resolv.conf", *options])
        self.resolved.wait_text("^ready")
        lab.resolved_rows = lambda: sorted("%s %s" % row for row in self.resolved_links().items())
        with open("/run/systemd/resolve/stub-resolv.conf", "w") as f:
            f.write("# This file is managed by man:systemd-resolved(8). Do not edit.\nnameserver %s\noptions edns0 trust-ad\n" % STUB)
        if not os.path.islink("/etc/resolv.conf"):
            os.unlink("/etc/resolv.conf")
            os.symlink("../run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf")
        return self.resolved

    def start_real_resolved(self):
        """The program itself, on the same bus; it asks the public resolver where no link knows better."""
        lab, program = self.lab, RESOLVED + "/lib/systemd/systemd-resolved"
        if not os.path.exists(program):
            raise Skip("there is no .deps/resolved (scripts/setup fetches it)")
        if not os.path.isdir("/run/dbus"):
            self.start_bus()
            for path, row in (("/etc/passwd", "systemd-resolve:x:992:992::/:/usr/sbin/nologin\n"), ("/etc/group", "systemd-resolve:x:992:\n")):
                with open(path, "a") as f:
                    f.write(row)
            os.mkdir("/run/systemd", 0o755)
            os.makedirs("/etc/systemd", exist_ok=True)
            with open("/etc/systemd/resolved.conf", "w") as f:
                f.write("[Resolve]\nDNS=%s\nFallbackDNS=\nDNSSEC=no\nLLMNR=no\nMulticastDNS=no\n" % PUBLIC_DNS)
            os.unlink("/etc/resolv.conf")
            os.symlink("../run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf")
        self.resolved = lab.spawn("resolved", [program])
        wait_until(lambda: dig(lab, "v4.public.test", "@" + STUB) == [PUBLIC4], 10, "systemd-resolved answers")
        lab.resolved_rows = self.real_links
        return self.resolved

    def real_links(self):
        """What the real one was told of links, as lines `KIND Link N (DEVICE): …`, of those that were told anything."""
        out = {kind: self.lab.must(RESOLVED + "/usr/bin/resolvectl", kind).out.splitlines() for kind in ("dns", "domain", "default-route", "dnssec")}
        told = {line.split(":")[0] for line in out["dns"] + out["domain"] if line.startswith("Link") and line.split(":", 1)[1].strip()}
        return ["%s %s" % (kind, line) for kind, lines in out.items() for line in lines if line.split(":")[0] in told]

    def resolved_links(self):
        """{interface: what it was told}, of those that were told anything."""
        try:
            with open(self.resolved_state) as f:
                return {k: v for k, v in json.load(f)["links"].items() if v["dns"] or v["domains"]}
        except FileNotFoundError:
            return {}

    # ---- before and after

    def residue(self, before):
        """What differs from `before` beyond what decision 14 lets a `kill -9` of daemon and keeper leave."""
        now, found = self.lab.picture(), []
        for key in before:
            found += ["gone: " + x for x in before[key] if x not in now[key] and not x.startswith(MAY_DIFFER)]
            found += ["new: " + x for x in now[key] if x not in before[key] and not allowed_after_kill(key, x)]
        servers = [x.split()[-1] for x in now["host"] if x.startswith("resolv.conf says nameserver")]
        former = [x.split()[-1] for x in before["host"] if x.startswith("resolv.conf says nameserver")]
        if servers[-len(former):] != former:
            found.append("resolv.conf lost its servers: %s, before: %s" % (servers, former))
        return found


MAY_DIFFER = ("resolv.conf says", "sysctl net/ipv4/conf/all/src_valid_mark", "nft table inet ssm_tun:")


def allowed_after_kill(key, line):
    if key == "files":
        return True
    if key == "sockets":
        return line.startswith("unix") and "/run/ssm-tun/" in line
    if key == "resolved" or key == "processes":
        return False
    if key == "host":
        return line.startswith(MAY_DIFFER)
    row = json.loads(line.split(" ", 1)[1])
    if line.startswith("rule"):
        return 5299 <= row["priority"] <= 5310
    return line.startswith("route") and row.get("table") in ("5373", "5374", 5373, 5374) and row.get("type") == "throw"


def page(text):
    """A handler that serves this text to any GET."""
    data = text.encode()

    def handler(s):
        got = b""
        while b"\r\n\r\n" not in got:
            more = s.recv(4096)
            if not more:
                return
            got += more
        s.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))
    return handler


def is_fake(address):
    """IPv4: of the range; IPv6: of the /64 that is made once for a machine, ::1:0:0 to ::1:0:ffff, which no VPC of the lab has."""
    a = ipaddress.ip_address(address)
    if a.version == 4:
        return a in FAKE
    return a in ipaddress.ip_network("fd00::/8") and a not in VPC6 and int(a) >> 16 & (1 << 48) - 1 == 1 << 16


def fetch(lab, name, want, timeout=10, *options):
    """curl http://NAME/ must say `want`; returns seconds."""
    r = lab.run("curl", "-sS", "--noproxy", "*", "--max-time", str(timeout), *options, "http://%s/" % name)
    check(r.status == 0 and r.out == want, "http://%s/: status %d, %r, not %r: %s" % (name, r.status, r.out[:80], want, r.err.strip()))
    return r.seconds


# ---- clients of names: each a function (lab, name) -> addresses, [] for none

def getent(lab, name):
    """glibc: getaddrinfo, as nsswitch.conf says."""
    r = lab.run("getent", "ahosts", name)
    return sorted({line.split()[0] for line in r.out.splitlines() if line.strip()})


def getent_hosts(lab, name):
    """glibc: gethostbyname2."""
    r = lab.run("getent", "hosts", name)
    return sorted({line.split()[0] for line in r.out.splitlines() if line.strip()})


PYTHON = """import socket, sys
try:
    print(*sorted({a[4][0] for a in socket.getaddrinfo(sys.argv[1], 80, type=socket.SOCK_STREAM)}))
except socket.gaierror as e:
    sys.exit(str(e))
"""


def python(lab, name):
    return lab.run("/usr/bin/python3", "-c", PYTHON, name).out.split()


def dig(lab, name, *options, kind="A"):
    """dig by resolv.conf; of any server with @ADDRESS among the options."""
    out = lab.run("dig", "+short", "+time=3", "+tries=2", *options, name, kind).out
    return sorted(line for line in out.splitlines() if line and not line.startswith(";"))


def dig_tcp(lab, name):
    return dig(lab, name, "+tcp")


def looked(lab, argv, name, env=None):
    r = lab.run(*argv, name, env=env)
    check(r.status == 0 and r.out.startswith(name), "%s %s: %d %s" % (argv[0], name, r.status, r.text[-200:]))
    return [] if "error:" in r.out else sorted(set(r.out.split()[1:]))


def build_client(lab, name, argv):
    path = "%s/%s" % (lab.bin, name)
    if not os.path.exists(path):
        if not shutil.which(argv[0]):
            raise Skip("there is no " + argv[0])
        lab.must(*argv, "-o", path)
    return path


def musl(lab, name):
    return looked(lab, [build_client(lab, "look-musl", ["musl-gcc", "-static", "-O1", HERE + "/clients/look.c"])], name)


def go(lab, name):
    path = build_client(lab, "look-go", ["gccgo-12", "-O1", HERE + "/clients/look.go"])
    return looked(lab, [path], name, dict(lab.env, GODEBUG="netdns=go"))


def dbus(lab, name):
    """A D-Bus client of systemd-resolved."""
    r = lab.run("busctl", "--json=short", "call", "org.freedesktop.resolve1", "/org/freedesktop/resolve1",
                "org.freedesktop.resolve1.Manager", "ResolveHostname", "isit", "0", name, "0", "0")
    if r.status != 0:
        return []
    return sorted({str(ipaddress.ip_address(bytes(row[2]))) for row in json.loads(r.out)["data"][0]})


def nss_resolve(lab, name):
    """glibc by systemd-resolved's own NSS module, which speaks Varlink to it."""
    module = glob.glob(RESOLVED + "/usr/lib/*/libnss_resolve.so.2")
    if not module:
        raise Skip("there is no libnss-resolve in .deps/resolved (scripts/setup fetches it)")
    r = lab.run("getent", "-s", "hosts:resolve", "ahosts", name, env=dict(lab.env, LD_LIBRARY_PATH=os.path.dirname(module[0])))
    return sorted({line.split()[0] for line in r.out.splitlines() if line.strip()})


CLIENTS = {"getaddrinfo": getent, "gethostbyname": getent_hosts, "python": python, "musl": musl, "Go": go, "dig": dig, "dig +tcp": dig_tcp}


RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


def ask(name, server=STACK_DNS, kind=1, timeout=15.0):
    """One query by UDP, by no program that may be slow itself: (what the answer says, "" for none; seconds)."""
    query_id = secrets.token_bytes(2)
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        t = time.monotonic()
        s.sendto(query_id + struct.pack("!5H", 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1), (server, 53))
        try:
            answer = s.recv(4096)
        except OSError:
            return "", time.monotonic() - t
    check(answer[:2] == query_id, "an answer to another query")
    return RCODES.get(answer[3] & 15, "?"), time.monotonic() - t


class Sniffer:
    """Every packet that leaves or enters by an interface of C while the body of `with` runs: (is it outgoing, ethertype, bytes)."""

    def __init__(self, interface, ns=None):
        make = lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # noqa: E731  ETH_P_ALL
        self.sock = netns.call_in(ns, make) if ns else make()
        self.sock.bind((interface, 0))
        self.sock.settimeout(0.2)
        self.packets, self.stop = [], threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.body, daemon=True)
        self.thread.start()
        return self

    def body(self):
        while not self.stop.is_set():
            try:
                data, where = self.sock.recvfrom(65535)
            except socket.timeout:
                continue
            except OSError:
                return
            self.packets.append((where[2] == socket.PACKET_OUTGOING, where[1], data))

    def __exit__(self, *exc):
        self.stop.set()
        self.thread.join()
        self.sock.close()

    def out(self, raw_ip=False):
        """The outgoing packets as Packet; raw_ip: of an interface without link headers (a TUN)."""
        return [Packet(kind, data if raw_ip else data[14:]) for outgoing, kind, data in self.packets if outgoing]


class Packet:
    """Addresses, protocol and ports of an IP packet."""

    def __init__(self, kind, data):
        self.version = {0x0800: 4, 0x86dd: 6}.get(kind, 0)
        self.src = self.dst = self.proto = self.sport = self.dport = None
        if self.version == 4 and len(data) >= 20:
            self.proto = data[9]
            self.src, self.dst = (str(ipaddress.ip_address(data[i:i + 4])) for i in (12, 16))
            rest = data[(data[0] & 15) * 4:]
        elif self.version == 6 and len(data) >= 40:
            self.proto = data[6]
            self.src, self.dst = (str(ipaddress.ip_address(data[i:i + 16])) for i in (8, 24))
            rest = data[40:]
        else:
            return
        self.kind = rest[0] if rest else None  # of ICMP
        if self.proto in (6, 17) and len(rest) >= 4:
            self.sport, self.dport = struct.unpack("!HH", rest[:4])

    def link_only(self):
        """IPv6 that stays on its link: MLD, whose messages stand behind hop-by-hop options, and neighbour discovery."""
        return self.proto == 0 or self.proto == 58 and (130 <= self.kind <= 137 or self.kind == 143)

    def __repr__(self):
        return "IPv%d %s:%s > %s:%s proto %s" % (self.version, self.src, self.sport, self.dst, self.dport, self.proto)
