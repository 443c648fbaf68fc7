# SPDX-License-Identifier: MIT
"""Which packets are ours, and what becomes of those that no upstream carries."""
import errno
import os
import re
import socket
import threading
import time

import netns
from lab import LINK_C, LINK_V, V4, V6, check, connect, connect_error, recv_exactly
from netns import wait_until
from scenarios import scenario


def device_of(address):
    """The device that the kernel would send to this address by, or the reason that it would not."""
    rows = netns.ip_json("route", "get", address)
    return rows[0].get("dev") if isinstance(rows, list) and rows else "none"


@scenario("rules")
def rules(lab):
    """Upstream, direct, reject and drop; a local network inside a prefix stays local; IMDS and loopback never enter the TUN."""
    routes = [{"match": "10.77.0.0/16", "upstream": "vpc"}, {"match": "fd77::/64", "upstream": "vpc"},
              {"match": "160.0.0.0/4", "upstream": "vpc"},
              {"match": "10.77.50.0/24", "upstream": "reject"}, {"match": "10.77.51.0/24", "upstream": "drop"},
              {"match": "10.77.52.0/24", "upstream": "direct"}]
    lab.must("ip", "route", "add", "10.77.60.0/24", "via", LINK_V)
    lab.start_far_side()
    before = lab.picture()
    lab.up(lab.config(routes, match_order="specific"))
    device = lab.status()["device"]
    check(device_of(V4) == device and device_of(V6) == device, "the VPC's addresses do not go to %s" % device)
    check(device_of("10.77.60.1") == "vc", "a local network inside our prefix goes to " + device_of("10.77.60.1"))
    check(device_of("10.77.52.1") != device, "`direct` is not carved out")
    check(device_of("169.254.169.254") != device, "the metadata service's address enters the TUN")
    check(device_of("127.0.0.9") == "lo", "loopback enters the TUN")
    # A network that comes while we are up, and goes again.
    lab.must("ip", "route", "add", "10.77.61.0/24", "via", LINK_V)
    wait_until(lambda: device_of("10.77.61.1") == "vc", 2, "a new local network is left alone")
    lab.must("ip", "route", "del", "10.77.61.0/24")
    wait_until(lambda: device_of("10.77.61.1") == device, 2, "a network that went is ours again")

    what, s = connect_error("10.77.50.1", 80, 5)
    check(what in ("ECONNREFUSED", "EHOSTUNREACH", "EACCES", "ENETUNREACH") and s < 1, "reject: %s after %.1f s" % (what, s))
    lab.note("reject gives %s" % what)
    what, s = connect_error("10.77.51.1", 80, 2)
    check(what == "timeout", "drop: %s after %.1f s" % (what, s))
    what, s = connect_error("10.77.52.1", 80, 2)
    check(what in ("ENETUNREACH", "EHOSTUNREACH") and s < 0.5, "direct without a route: %s after %.1f s" % (what, s))
    lab.down()
    lab.daemon.wait()
    lab.expect_clean(before, 1.0)


@scenario("udp")
def udp(lab):
    """A UDP datagram gets ICMP port unreachable at once, so that QUIC falls back to TCP; the stack's own address and hosts that live answer ping."""
    lab.standard()
    for address, family in ((V4, socket.AF_INET), (V6, socket.AF_INET6)):
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.settimeout(2)
            s.connect((address, 443))
            t = time.monotonic()
            s.send(b"\xc0" + os.urandom(1199))
            try:
                what = "data: %r" % s.recv(2000)
            except OSError as e:
                what = errno.errorcode.get(e.errno, "timeout")
            took = time.monotonic() - t
        check(what == "ECONNREFUSED" and took < 0.3, "UDP to %s: %s after %.2f s" % (address, what, took))
        lab.note("%.1f ms" % (took * 1e3))
    r = lab.run("ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", "198.18.0.2")
    check(r.status == 0, "the stack does not answer ping: " + r.text.strip()[-200:])
    r = lab.run("ping", "-n", "-c", "1", "-W", "5", V4)
    check(r.status == 0, "a ping of a host of the VPC that lives: " + r.text.strip()[-200:])


@scenario("limits")
def limits(lab):
    """At the limit of flows a new one is reset, and the others go on; one that ends makes room."""
    lab.config_changes["limits"] = {"flows": 20}
    port = lab.serve(lambda s: (s.sendall(b"hello"), s.recv(1)))
    lab.standard()
    socks = []
    for _ in range(20):
        socks.append(connect(V4, port))
        recv_exactly(socks[-1], 5)
    what, s = connect_error(V4, port, 5)
    check(what == "ECONNREFUSED" and s < 1, "flow 21 of 20: %s after %.1f s" % (what, s))
    check(lab.status()["flows"]["now"] == 20, "flows now: %s" % lab.status()["flows"])
    for i in range(5):
        socks.pop().close()
    wait_until(lambda: lab.status()["flows"]["now"] == 15, 5, "five flows have ended")
    with connect(V4, port) as s:
        recv_exactly(s, 5)
    for s in socks:
        s.close()


def relay(to):
    """A handler that joins a connection to another one."""
    def one_way(a, b):
        try:
            while True:
                data = a.recv(1 << 16)
                if not data:
                    break
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def handler(s):
        with socket.create_connection(to) as far:
            back = threading.Thread(target=one_way, args=(far, s), daemon=True)
            back.start()
            one_way(s, far)
            back.join()
    return handler


@scenario("own-traffic")
def own_traffic(lab):
    """The service is reached at an address inside a prefix that we route (PrivateLink, a proxy of the office): we go on past the device."""
    endpoint, name = "10.77.5.5", "vpce-1.vpce.test"
    lab.gateway_names = [endpoint, name]
    with open("/etc/hosts", "a") as f:
        f.write("%s %s\n" % (endpoint, name))
    lab.must("ip", "addr", "add", endpoint + "/32", "dev", "lo", v=True)
    lab.must("ip", "route", "add", "default", "via", LINK_V)
    lab.start_far_side()
    port = lab.serve(relay((LINK_C, lab.gateway_ports["control"])), endpoint)
    hello = lab.serve(lambda s: s.sendall(b"hello"))
    upstream = lab.upstream(aws={"endpoint_url": "https://%s:%d" % (name, port), "data_endpoint": "%s:%d" % (endpoint, port)})
    before = lab.picture()
    lab.up(lab.config(upstream=upstream))
    device = lab.status()["device"]
    for host in (name, endpoint):
        lab.daemon.wait_text(r"warn: %s \(%s\) lies inside 10\.77\.0\.0/16" % (re.escape(host), re.escape(endpoint)), 10)
    check(device_of(endpoint) == device, "others reach the endpoint by %s" % device_of(endpoint))
    with connect(V4, hello) as s:
        check(recv_exactly(s, 5) == b"hello", "no greeting")
    lab.down()
    lab.daemon.wait()
    lab.expect_clean(before, 1.0)
