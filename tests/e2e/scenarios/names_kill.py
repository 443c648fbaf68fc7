# SPDX-License-Identifier: MIT
"""kill -9 of any process of ours at any moment, with names and routes in force: the machine keeps resolving, and `up` works again."""
import os
import random
import signal
import time

import netns
from lab import Fail, V4, V6, check, connect_error
from netns import wait_until
from scenarios import scenario
from world import PUBLIC4, Sniffer, World, fetch, page, python

FAR4, FAR6 = "100.126.2.2", "2001:db8:2::2"  # of the internet, by the default route
WHO = ("daemon", "keeper", "runner", "all")
DEAD_RESOLVER_S = 6.0  # glibc with our dead server first and `options timeout:1`: a second each for A and AAAA, and room for a busy machine


def kill(lab, who):
    """SIGKILL to these processes of ours."""
    for pid, name in netns.processes().items():
        kind = "keeper" if "keeper" in name else "runner" if "runner" in name else "daemon"
        if who in (kind, "all"):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def gone(lab):
    wait_until(lambda: not netns.processes(), 10, "the survivors have ended: %s" % netns.processes())


def one_round(lab, world, before, dice, moment, who):
    p = world.up(world.up_config, wait=False)
    if moment == "up":
        time.sleep(dice.random() * 0.3)  # any moment is the point
    else:
        p.wait_text(r"\bup: \d+ of \d+ upstreams", 30)
        if dice.random() < 0.5:
            fetch(lab, "db.one.internal", "one")
    if moment == "down":
        down = lab.spawn("down", ["ssm-tun", "down"], env=lab.user_env)
        time.sleep(dice.random() * 0.1)
    kill(lab, who)
    if moment == "down":
        down.wait(20)
    if who == "runner" and moment == "running":
        # Whatever the daemon makes of that, names go on.
        check(PUBLIC4 in python(lab, "www.public.test"), "no public name without the runner")
        lab.down()
    else:
        if who == "all":
            p.wait(10)
        else:
            wait_until(lambda: not p.running() or moment == "up" and "up: " in p.text, 10, "the daemon has ended, or is up nevertheless")
            if p.running():
                lab.down()
        gone(lab)
        if who == "daemon" and moment == "running":
            lab.expect_clean(before, 2.0)  # the keeper lives: nothing is left
        found = world.residue(before)
        check(not found, "left behind: %s" % found[:6])
        t = time.monotonic()
        got = python(lab, "www.public.test")
        took = time.monotonic() - t
        check(PUBLIC4 in got and took < DEAD_RESOLVER_S, "the public name: %s after %.1f s" % (got, took))
        check(not python(lab, "nobody.public.test"), "a name that is not there has an address")
        for address in (FAR4, FAR6):
            what, s = connect_error(address, 80, 5)
            check(what == "open" and s < 1, "%s: %s after %.1f s" % (address, what, s))
    p.wait(10)


def kill_at_random(lab, manager, rounds, seed, **more):
    dice = random.Random(seed)
    world = World(lab)
    for address in (FAR4, FAR6):
        lab._ip(world.u, "addr add %s dev lo" % address)
        lab.serve(page("far"), address, 80, v=world.u)
    world.write_table("one", **{"www.public.test": {"A": [PUBLIC4]}})  # in system mode its resolver is asked
    if manager == "resolved":
        world.start_resolved()
    world.start()
    before = lab.picture()
    world.up_config = world.config(dns={"manager": manager}, **more)
    for i in range(rounds):
        moment, who = ("up", "running", "down")[i % 3], dice.choice(WHO)
        try:
            one_round(lab, world, before, dice, moment, who)
            if i % 4 == 3 or i == rounds - 1:
                world.up(world.up_config)
                fetch(lab, "db.one.internal", "one")
                lab.down()
                lab.daemon.wait()
                lab.expect_clean(before, 2.0)
        except (Fail, TimeoutError) as e:
            raise Fail("round %d, %s killed while %s: %s" % (i, who, moment, e)) from None


@scenario("names-kill-file", seconds=25)
def names_kill_file(lab):
    """/etc/resolv.conf: kill -9 at random moments of up, running and down; names resolve, what is left is what may be, `up` works again."""
    kill_at_random(lab, "file", 50 if lab.long else 6, 51)


@scenario("names-kill-resolved", seconds=20)
def names_kill_resolved(lab):
    """systemd-resolved, played: the same."""
    kill_at_random(lab, "resolved", 50 if lab.long else 4, 52)


@scenario("names-kill-system", seconds=20)
def names_kill_system(lab):
    """System mode with rp_filter 1, so with our nftables table and sysctl: the same; the internet of both families is there at once."""
    lab.must("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.all.src_valid_mark=0")
    kill_at_random(lab, "file", 50 if lab.long else 6, 53, tun={"mode": "system"}, default="one", one={"ipv6": False})


@scenario("fail-closed")
def fail_closed(lab):
    """fail_closed: after kill -9 of all, or without the device, routed addresses are unreachable at once, nothing leaks, until `down`; without
    it they are as before."""
    world = World(lab)
    world.start()
    before = lab.picture()
    routes = [{"match": "10.77.0.0/16", "upstream": "one"}, {"match": "fd77::/64", "upstream": "one"}]
    for who in ("device", "daemon", "all"):
        world.up(world.config(routes, fail_closed=True))
        if who == "device":
            lab.must("ip", "link", "del", lab.status()["device"])
        else:
            kill(lab, who)
        lab.daemon.wait(10)
        gone(lab)
        if who != "daemon":  # as systemd's unit does when all have ended
            lab.must("ssm-tun", "down", "--crashed")
        with Sniffer("cu") as wire:
            for address in (V4, V6):
                what, s = connect_error(address, 80, 5)
                check(what in ("EHOSTUNREACH", "ENETUNREACH", "EACCES") and s < 1, "%s, %s killed: %s after %.1f s" % (address, who, what, s))
        leaked = [p for p in wire.out() if p.dst in (V4, V6)]
        check(not leaked, "packets left by the uplink: %s" % leaked)
        check(PUBLIC4 in python(lab, "www.public.test"), "names after the kill")
        lab.down()
        lab.expect_clean(before, 2.0)
