# SPDX-License-Identifier: MIT
"""Private names: who gets which answer, from where, and what it opens."""
import errno
import re
import socket
import threading
import time

from lab import BLACKHOLE4, BLACKHOLE6, V4, V6, check, connect_error
from netns import wait_until
from scenarios import scenario
from scenarios.traffic import at_once
from world import (CLIENTS, PUBLIC4, PUBLIC6, RESOLVER_2, World, ask, dbus, dig, fetch, getent, is_fake,
                   nss_resolve, python)

BUDGET_S = 10.0
MANAGERS = {"file": "/etc/resolv.conf", "resolved": "systemd-resolved"}  # how status calls them


def status_of(lab, *args, timeout=30):
    """What dig says of an answer: (status, seconds); "" for none."""
    r = lab.run("dig", "+tries=1", "+time=15", *args, timeout=timeout)
    found = re.search(r"status: (\w+)", r.out)
    return found.group(1) if found else "", r.seconds


def udp_error(address, port):
    """What a datagram of QUIC's size gets: (errno name, "timeout" or "data"; seconds)."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.connect((address, port))
        t = time.monotonic()
        s.send(b"\xc0" + bytes(1199))
        try:
            s.recv(2000)
            what = "data"
        except socket.timeout:
            what = "timeout"
        except OSError as e:
            what = errno.errorcode.get(e.errno, str(e))
        return what, time.monotonic() - t


def expect_clients(lab, world, clients):
    """Every client gets a fake address for the private name, which opens; the true one for the public name; none for no name."""
    for name, client in clients.items():
        got = client(lab, "db.one.internal")
        check(any(is_fake(a) for a in got), "%s gets %s for the private name" % (name, got))
        check(V4 not in got and V6 not in got, "%s gets the private name's real address: %s" % (name, got))
        got = client(lab, "www.public.test")
        check(got and set(got) <= {PUBLIC4, PUBLIC6}, "%s gets %s for the public name" % (name, got))
        got = client(lab, "nobody.one.internal")
        check(not got, "%s gets %s for a name that is not there" % (name, got))
    for host, want in (("db.one.internal", "one"), ("DB.One.Internal", "one"), ("alias.one.internal", "one"), ("db.two.internal", "two"),
                       ("www.public.test", "public")):
        fetch(lab, host, want)


def expect_records(lab, tcp):
    """What dig sees beside addresses: TXT and SRV of the VPC's resolver, no HTTPS, the name behind a fake address."""
    check(dig(lab, "db.one.internal", kind="TXT") == ['"the first"'], "TXT: %s" % dig(lab, "db.one.internal", kind="TXT"))
    got = dig(lab, "_sql._tcp.one.internal", kind="SRV")
    check(got == ["0 0 5432 db.one.internal."], "SRV: %s" % got)
    check(not dig(lab, "h.one.internal", kind="TYPE65"), "HTTPS is answered: %s" % dig(lab, "h.one.internal", kind="TYPE65"))
    what, _ = status_of(lab, "h.one.internal", "TYPE65")
    check(what == "NOERROR", "HTTPS gets %s, not NODATA" % what)
    fake = [a for a in dig(lab, "db.one.internal") if is_fake(a)]
    got = lab.run("dig", "+short", "-x", fake[0]).out.split()
    check(got == ["db.one.internal."], "the name of %s: %s" % (fake[0], got))
    if tcp:
        big = dig(lab, "big.public.test", kind="TXT")
        check(len(big) == 12, "a long answer has %d of 12 texts" % len(big))


def expect_private(world, since):
    """The public resolver never heard of a private name, and each VPC's only of its own."""
    for who, foreign in (("public", "internal"), ("one", "two.internal"), ("two", "one.internal")):
        told = sorted({row.get("name", "") for row in world.asked(who, since) if row.get("name", "").lower().endswith(foreign)})
        check(not told, "the resolver `%s` was asked for %s" % (who, told))


def names_by(lab, manager, prepare=None, more_clients=None, forced=None, tcp=True):
    world = World(lab)
    if prepare:
        prepare(world)
    world.start()
    before = lab.picture()
    world.up(world.config(dns={"manager": forced or manager}))
    clients = {k: v for k, v in CLIENTS.items() if tcp or "tcp" not in k}
    expect_clients(lab, world, {**clients, **(more_clients or {})})
    expect_records(lab, tcp)
    expect_private(world, 0)
    check(MANAGERS[manager] in lab.tun("status").out, "status does not tell who holds the resolver's settings: " + lab.tun("status").out)
    lab.down()
    lab.daemon.wait()
    lab.expect_clean(before, 2.0)
    check(not getent(lab, "db.one.internal") and PUBLIC4 in getent(lab, "www.public.test"), "names after `down`")


@scenario("names-file", seconds=12)
def names_file(lab):
    """By /etc/resolv.conf: every kind of client gets the right answer for private, public and missing names; no query goes astray."""
    names_by(lab, "file")


@scenario("names-resolved", seconds=12)
def names_resolved(lab):
    """By systemd-resolved, played: the same, D-Bus clients too; it is told again when it restarts, and forgets us at the end."""
    world_of = []

    def prepare(world):
        world_of.append(world)
        world.start_resolved()

    def after_restart(lab, name):
        if name == "db.one.internal":  # once: the first that is asked
            restart_resolved(lab, world_of[0])
        return dbus(lab, name)

    # By `auto`: it is the one in force. The stub of the one that is played has no TCP.
    names_by(lab, "resolved", prepare, {"D-Bus": dbus, "D-Bus after a restart": after_restart}, "auto", tcp=False)


@scenario("names-resolved-real", seconds=12)
def names_resolved_real(lab):
    """The real systemd-resolved, started by hand: the same clients, its NSS module too; told again when it restarts, and no trace at the end."""
    world_of = []

    def prepare(world):
        world_of.append(world)
        world.start_real_resolved()

    def after_restart(lab, name):
        if name == "db.one.internal":
            world, device = world_of[0], lab.status()["device"]
            told = world.real_links()
            kinds = [line.split()[0] for line in told if "(%s)" % device in line]
            check(kinds == ["dns", "domain", "default-route", "dnssec"] and len(told) == 4, "it was told %s" % told)
            check("~one.internal" in told[1] and "~two.internal" in told[1] and told[2].endswith(": no"), "it was told %s" % told)
            world.resolved.stop()
            world.start_real_resolved()
            wait_until(lambda: world.real_links() == told, 5, "it is told again after its restart")
        return dbus(lab, name)

    clients = {"D-Bus": dbus, "NSS module": nss_resolve, "D-Bus after a restart": after_restart}
    names_by(lab, "resolved", prepare, clients, "auto")


def restart_resolved(lab, world):
    device = lab.status()["device"]
    told = world.resolved_links()
    check(list(told) == [device] and {"~one.internal", "~two.internal"} <= set(told[device]["domains"]), "resolved was told %s" % told)
    check(told[device]["default_route"] is False, "in split mode every name goes to us: %s" % told)
    world.resolved.stop()
    world.start_resolved()
    wait_until(lambda: world.resolved_links() == told, 5, "resolved is told again after its restart")


@scenario("names-two-vpcs")
def names_two_vpcs(lab):
    """Two VPCs with one CIDR and one host address at once, by name; a fake address outlives restart and kill; one that is nobody's is refused."""
    world = World(lab)
    world.start()
    fakes = {}
    for restart in (None, "down", "kill"):
        if restart == "down":
            lab.down()
        elif restart == "kill":
            lab.daemon.stop(9)
            lab.down()
        if restart:
            lab.daemon.wait()
            world.up()
            # Nobody has asked for a name since: what an application kept still opens the same.
            check(lab.run("curl", "-sS", "--noproxy", "*", "--max-time", "5", "http://%s/" % fakes["one"]).out == "one" and
                  lab.run("curl", "-sS", "--noproxy", "*", "--max-time", "5", "http://%s/" % fakes["two"]).out == "two",
                  "a fake address of before the %s does not open its host" % restart)
        else:
            world.up()
        got = at_once(lambda host, want: fetch(lab, host, want), [("db.%s.internal" % w, w) for w in ("one", "two")] * 5)
        lab.note("at most %.0f ms" % (max(got) * 1e3))
        now = {w: dig(lab, "db.%s.internal" % w)[0] for w in ("one", "two")}
        check(not restart or now == fakes, "after %s the fake addresses are %s, before %s" % (restart, now, fakes))
        fakes = now
        what, s = udp_error(fakes["one"], 443)
        check(what == "ECONNREFUSED" and s < 1, "QUIC to a fake address: %s after %.1f s" % (what, s))
        r = lab.run("ping", "-n", "-c", "1", "-W", "5", fakes["one"])
        check(r.status == 0, "a ping of a host that lives, by its fake address: " + r.text[-200:])
    what, s = connect_error("198.18.250.250", 80, 5)
    check(what == "ECONNREFUSED" and s < 1, "a fake address that is nobody's: %s after %.1f s" % (what, s))


@scenario("names-tunnel-mode")
def names_tunnel_mode(lab):
    """dns: {mode: tunnel}: the VPC's own addresses, routed before the answer leaves, and only those."""
    world = World(lab)
    world.start()
    before = lab.picture()
    what, _ = connect_error(V4, 80, 2)
    check(what != "open", "the VPC is reachable without the tunnel")
    world.up(world.config(dns={"mode": "tunnel"}))
    check(dig(lab, "v4.one.internal") == [V4], "the answer: %s" % dig(lab, "v4.one.internal"))
    fetch(lab, "v4.one.internal", "one")
    device = lab.status()["device"]
    routes = lab.must("ip", "-j", "route", "show", "table", "5373").out
    check('"%s"' % V4 in routes and device in routes, "the host route: " + routes[:300])
    what, _ = connect_error("10.77.0.2", 53, 2)
    check(what != "open", "an address that no answer gave is routed")
    lab.down()
    lab.daemon.wait()
    lab.expect_clean(before, 2.0)


class Counter:
    """A listener in V that nobody should reach."""

    def __init__(self, lab, address, port):
        self.reached = 0
        self.port = lab.serve(self.one, address, port)

    def one(self, s):
        self.reached += 1
        s.sendall(b"you should not be here")


@scenario("names-local-answer")
def names_local_answer(lab):
    """A name of a matched zone that answers 127.0.0.1 or 169.254.169.254 opens nothing on the bastion, in either mode."""
    world = World(lab)
    lab.must("ip", "addr", "add", "169.254.169.254/32", "dev", "lo", v=True)
    port = 8099
    traps = [Counter(lab, "127.0.0.1", port), Counter(lab, "169.254.169.254", port)]
    world.start()
    for mode in ("fake-ip", "tunnel"):
        world.up(world.config(dns={"mode": mode}))
        for host in ("loop", "imds"):
            for _ in range(3):
                what, _ = status_of(lab, host + ".one.internal")
                check(what == "NXDOMAIN", "%s, %s: %s" % (mode, host, what))
            told = [line for line in lab.daemon.text.splitlines() if host + ".one.internal" in line]
            check(len(told) == 1, "%s, %s: told by %s" % (mode, host, told))
            r = lab.run("curl", "-sS", "--noproxy", "*", "--max-time", "5", "http://%s.one.internal:%d/" % (host, port))
            check(r.status != 0, "%s, %s: it was opened: %r" % (mode, host, r.out[:80]))
        fetch(lab, "both.one.internal", "one")
        if mode == "fake-ip":
            # A name that had a good address, and now has another: the flow is opened by what the name is then.
            world.write_table("one", **{"turns.one.internal": {"A": [V4], "ttl": 0}})
            fetch(lab, "turns.one.internal", "one")
            fake = dig(lab, "turns.one.internal")[0]
            world.write_table("one", **{"turns.one.internal": {"A": ["127.0.0.1"], "ttl": 0}})
            wait_until(lambda: connect_error(fake, port, 3)[0] != "open", 5, "the name that turned to 127.0.0.1 is closed")
        lab.down()
        lab.daemon.wait()
    check(not any(t.reached for t in traps), "the bastion's own servers were reached: %s" % [t.reached for t in traps])


@scenario("names-dead-resolver", seconds=20)
def names_dead_resolver(lab):
    """A dead VPC resolver and names that take 10 s delay no other name; SERVFAIL at the end of the budget, never silence."""
    world = World(lab)
    world.write_table("one", **{"*.slow.one.internal": {"A": [V4], "delay_ms": 30000}, "*.mute.one.internal": {"silent": True}})
    world.write_table("public", **{"*.mute.public.test": {"silent": True}})
    world.start()
    c = world.config([{"match": "*.%s.internal" % u, "upstream": u} for u in ("one", "two", "dead")])
    c["upstreams"]["dead"] = lab.upstream(resolver=BLACKHOLE4)
    lab.write_config(c)
    world.up(c)
    slow = ["n%d.%s" % (i, zone) for i in range(8) for zone in ("slow.one.internal", "mute.one.internal", "dead.internal", "mute.public.test")]
    done = {}

    def ask_slow(name):
        done[name] = ask(name)
    threads = [threading.Thread(target=ask_slow, args=(n,), daemon=True) for n in slow]
    for t in threads:
        t.start()
    wait_until(lambda: len([r for r in world.asked("one") if "slow" in r.get("name", "")]) >= 8, 5, "the slow names are under way")
    worst = 0.0
    for i in range(5):
        for name in ("db.one.internal", "db.two.internal", "v4.public.test"):
            what, s = ask(name)
            check(what == "NOERROR", "%s beside slow names: %s" % (name, what))
            worst = max(worst, s)
    check(worst < 1.0, "another name took %.2f s beside slow ones" % worst)
    lab.note("others took %.0f ms at most" % (worst * 1e3))
    for t in threads:
        t.join(30)
    check(len(done) == len(slow) and {w for w, _ in done.values()} == {"SERVFAIL"}, "the slow names: %s" % sorted({w for w, _ in done.values()}))
    last = max(s for _, s in done.values())
    check(last < BUDGET_S + 3, "SERVFAIL after %.1f s" % last)
    lab.note("SERVFAIL after %.1f s at most" % last)


@scenario("names-forged")
def names_forged(lab):
    """Answers with wrong ids, from wrong ports and addresses, or to other questions are not believed; rebind: block drops private answers."""
    world = World(lab)
    world.resolvers["public"].stop()
    lab.must("nsenter", "--net=" + world.u, "ip", "addr", "add", "198.51.100.54/24", "dev", "uc")
    world.resolver("public", world.u, {**world.tables["public"], "*.forged.public.test": {"A": [PUBLIC4], "forge": True}},
                   ["198.51.100.53:53"], "--forge-from", "198.51.100.54")
    world.start()
    routes = [{"match": "*.one.internal", "upstream": "one"}, {"match": "10.77.0.0/16", "upstream": "one"}]
    world.up(world.config(routes, dns={"rebind": "block"}))
    for i in range(30 if lab.long else 8):
        got = dig(lab, "n%d.forged.public.test" % i)
        check(got == [PUBLIC4], "a forged answer was believed, or the true one lost: %s" % got)
    ids = [r["id"] for r in world.asked("public") if "forged" in r.get("name", "")]
    ports = {r["from"].rsplit(":", 1)[1] for r in world.asked("public") if "forged" in r.get("name", "")}
    check(len(set(ids)) > len(ids) // 2 and len(ports) > len(ids) // 2, "ids %s from ports %s can be guessed" % (ids, sorted(ports)))
    got = dig(lab, "rebind.public.test")
    check(not got, "a public name with an address of the VPC is passed on: %s" % got)
    lab.write_config(world.config(routes, dns={"rebind": "allow"}))
    lab.tun("reload")
    got = dig(lab, "rebind.public.test")
    check(got == [V4], "rebind: allow: %s" % got)


def connected_in(lab, host, option):
    """How long curl's connect() took, in seconds, of a page that is `one`; its own start and the look-up are left out."""
    r = lab.run("curl", "-sS", "--noproxy", "*", "--max-time", "10", option, "-w", " %{time_namelookup} %{time_connect}", "http://%s/" % host)
    check(r.status == 0, "%s %s: %s" % (host, option, r.err.strip()))
    text, looked, connected = r.out.split()
    check(text == "one", "%s %s says %r" % (host, option, text))
    return float(connected) - float(looked)


@scenario("names-families")
def names_families(lab):
    """Targets with one family, or one of whose families is silent, by a fake address of either: no connection waits a second for the other."""
    world = World(lab)
    world.write_table("one", **{"hole6.one.internal": {"A": [V4], "AAAA": [BLACKHOLE6]}, "hole4.one.internal": {"A": [BLACKHOLE4], "AAAA": [V6]}})
    world.start()
    for ipv6 in (False, True):
        world.up(world.config(one={"ipv6": ipv6}))
        worst = 0.0
        for host in ("v4", "v6", "db", "hole6", "hole4"):
            for option in ("-4", "-6") if ipv6 and host not in ("v4",) else ("-4",):
                worst = max(worst, connected_in(lab, host + ".one.internal", option))
        check(worst < 1.0, "a connection took %.2f s because of the other family" % worst)
        lab.note("%s: %.0f ms at most" % ("both families" if ipv6 else "IPv4 alone", worst * 1e3))
        aaaa = dig(lab, "db.one.internal", kind="AAAA")
        check(bool(aaaa) == ipv6, "AAAA of an upstream with ipv6: %s: %s" % (ipv6, aaaa))
        lab.down()
        lab.daemon.wait()


@scenario("names-relayed")
def names_relayed(lab):
    """DNS to an address inside a routed prefix is answered through that upstream, UDP and TCP; ping tells who lives."""
    lab.config_changes["limits"] = {"connect_budget": "2s"}
    world = World(lab)
    world.start()
    world.up(world.config([{"match": "10.77.0.0/16", "upstream": "one"}], dns={"manager": "none"}))
    for option in ("+notcp", "+tcp"):
        got = dig(lab, "db.one.internal", option, "@" + RESOLVER_2)
        check(got == [V4], "relayed %s: %s" % (option, got))
    what, s = status_of(lab, "@" + V4, "db.one.internal", "+notcp")
    check(what != "NOERROR" and s < BUDGET_S + 3, "a host that is no resolver answers %s after %.1f s" % (what, s))
    what, s = udp_error(V4, 443)
    check(what == "ECONNREFUSED" and s < 1, "UDP to %s: %s after %.1f s" % (V4, what, s))
    fetch(lab, V4, "one")
    r = lab.run("ping", "-n", "-c", "2", "-i", "0.3", "-W", "3", V4)
    check(r.status == 0, "a ping of a host that lives: " + r.text[-200:])
    r = lab.run("ping", "-n", "-c", "1", "-W", "12", BLACKHOLE4)
    check(r.status != 0 and "Unreachable" in r.out.replace("unreachable", "Unreachable"), "a ping of nobody: " + r.text[-200:])
    check(python(lab, "www.public.test"), "with manager: none the system's names are gone")


@scenario("names-fight")
def names_fight(lab):
    """Another program keeps rewriting /etc/resolv.conf: it is left to it, `status` says so, and `reload` of the same file tries again."""
    world = World(lab)
    world.start()
    world.up()
    with open("/etc/resolv.conf") as f:
        ours = f.read()
    theirs = "".join(line for line in ours.splitlines(True) if "nameserver" in line and "198.18." not in line)
    check(theirs, "no former resolver in: " + ours)

    def now():
        with open("/etc/resolv.conf") as f:
            return f.read()
    for i in range(6):
        world.write_resolv_conf("# %d\n%s" % (i, theirs))
        if i < 5:
            wait_until(lambda: "198.18.0.2" in now(), 10, "our server is first again")
    wait_until(lambda: lab.status()["dns"]["manager"] == "none", 10, "status tells that nobody holds us")
    check("198.18.0.2" not in now() and "rewriting" in lab.status()["dns"]["text"], "it is not left alone: %s" % lab.status()["dns"])
    r = lab.tun("reload")
    check(r.status == 0, "reload: %s" % r.err)
    check("198.18.0.2" in now() and lab.status()["dns"]["manager"] == MANAGERS["file"], "reload did not try again: %s" % lab.status()["dns"])
    fetch(lab, "db.one.internal", "one")
    lab.down()
    check(now() == "# 5\n" + theirs, "/etc/resolv.conf afterwards: " + now())
