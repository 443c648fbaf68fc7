# SPDX-License-Identifier: MIT
"""Who may use the tunnel, what a reload changes, and why a destination goes where it goes."""
import fcntl
import json
import os
import signal
import subprocess
import termios

from lab import OTHER_UID, UID, USER, V4, check, recv_exactly
from netns import wait_until
from scenarios import scenario
from scenarios.faults import open_echo
from world import PUBLIC4, World, dig, fetch, is_fake

ROUTES = [{"match": "10.77.0.0/16", "upstream": "one"}, {"match": "*.one.internal", "upstream": "one"}]


def as_user(lab, uid, *argv):
    return lab.run(*argv, user=uid)


@scenario("access")
def access(lab):
    """access: [alice]: her programs use routes and names; another user's get what they would get without us."""
    world = World(lab)
    world.start()
    before = lab.picture()
    world.up(world.config(ROUTES, access=[USER]))
    for uid, may in ((UID, True), (OTHER_UID, False)):
        r = as_user(lab, uid, "curl", "-sS", "--noproxy", "*", "--max-time", "3", "http://%s/" % V4)
        check((r.out == "one") == may, "uid %d by address: %d %r %s" % (uid, r.status, r.out[:60], r.err.strip()))
        for option in ("+notcp", "+tcp"):
            got = as_user(lab, uid, "dig", "+short", "+time=3", "+tries=1", option, "db.one.internal", "A").out.split()
            check([is_fake(a) for a in got] == ([True] if may else []), "uid %d, %s, the private name: %s" % (uid, option, got))
        got = as_user(lab, uid, "dig", "+short", "+time=3", "www.public.test", "A").out.split()
        check(got == [PUBLIC4], "uid %d, the public name: %s" % (uid, got))
    fake = as_user(lab, UID, "dig", "+short", "db.one.internal", "A").out.strip()
    r = as_user(lab, OTHER_UID, "curl", "-sS", "--noproxy", "*", "--max-time", "3", "http://%s/" % fake)
    check(r.out != "one", "another user's program opens a fake address that it has from elsewhere")
    r = as_user(lab, OTHER_UID, "curl", "-sS", "--noproxy", "*", "--max-time", "3", "--interface", lab.status()["device"], "http://%s/" % V4)
    check(r.out != "one", "another user's program gets in by binding to the device")
    lab.down()
    lab.daemon.wait()
    lab.expect_clean(before, 2.0)


@scenario("reload")
def reload(lab):
    """reload and SIGHUP: rules, names and routes at once, flows whose rule holds live on; a bad file changes nothing and says why."""
    world = World(lab)
    echo = lab.start_flowgen()
    world.start()
    before = lab.picture()
    p = world.up(world.config(ROUTES))
    device = lab.status()["device"]
    flow = open_echo(lab, echo)

    def flow_lives(when):
        flow.sendall(b"x")
        check(recv_exactly(flow, 1) == b"x", when + ": the flow is broken")

    more = ROUTES + [{"match": "*.two.internal", "upstream": "two"}, {"match": "10.78.0.0/16", "upstream": "two"}]
    check(not dig(lab, "db.two.internal"), "a name that no rule has is answered")
    lab.write_config(world.config(more))
    r = lab.tun("reload")
    check(r.status == 0, "reload: %d %s" % (r.status, r.text))
    fetch(lab, "db.two.internal", "two")
    fetch(lab, "db.one.internal", "one")
    flow_lives("after reload")
    routes = lab.must("ip", "route", "show", "table", "5373").out
    check("10.78.0.0/16" in routes, "the new route: " + routes)
    # A bad file: nothing changes, and the line is told.
    good = lab.picture()["network"]
    with open(lab.home + "/tun.yaml") as f:
        text = f.read()
    lab.write(lab.home + "/tun.yaml", text.replace('"10.78.0.0/16"', '"10.78.0.0/99"'))
    r = lab.tun("reload")
    check(r.status == 1 and "tun.yaml:" in r.text and "10.78.0.0/99" in r.text, "a bad file: %d %s" % (r.status, r.text))
    check(lab.picture()["network"] == good, "a bad file changed the network")
    fetch(lab, "db.two.internal", "two")
    flow_lives("after a bad file")
    # By signal; the rule of the flow goes: it ends.
    lab.write_config(world.config([{"match": "*.two.internal", "upstream": "two"}]))
    p.send(signal.SIGHUP)
    wait_until(lambda: "10.77.0.0/16" not in lab.must("ip", "route", "show", "table", "5373").out, 5, "SIGHUP takes the route away")
    flow.settimeout(5)
    try:
        flow.sendall(b"x")
        end = flow.recv(1)
    except OSError:
        end = b""
    check(end == b"", "a flow whose rule has gone still answers")
    fetch(lab, "db.two.internal", "two")
    check(not dig(lab, "db.one.internal"), "a name whose rule has gone is answered")
    check(lab.status()["device"] == device and p.running(), "reload made another device")
    lab.down()
    p.wait()
    lab.expect_clean(before, 2.0)


@scenario("reload-manager")
def reload_manager(lab):
    """A manager of the resolver's settings that a reload asks for and can't have: the former one knows us still, or again."""
    world = World(lab)
    world.start()
    world.start_resolved()
    before = lab.picture()
    p = world.up(world.config(ROUTES, dns={"manager": "auto"}))
    told = world.resolved_links()
    folder = "/run/systemd/resolve"  # where /etc/resolv.conf leads
    lab.must("mount", "--bind", folder, folder)
    lab.must("mount", "-o", "remount,bind,ro", folder)
    for manager, why in (("file", "can't be written"), ("resolvconf", "there is no resolvconf")):
        lab.write_config(world.config(ROUTES, dns={"manager": manager}))
        r = lab.tun("reload")
        check(r.status == 1 and why in r.text and "nothing was changed" in r.text, "reload to %s: %d %s" % (manager, r.status, r.text))
        check(world.resolved_links() == told, "after a reload to %s that failed resolved knows %s" % (manager, world.resolved_links()))
        fetch(lab, "db.one.internal", "one")
    lab.must("umount", folder)
    lab.down()
    p.wait()
    lab.expect_clean(before, 2.0)


@scenario("hang-up")
def hang_up(lab):
    """SIGHUP reloads, on a terminal too; the terminal itself going is the end of a tunnel that runs in its foreground."""
    lab.start_far_side()
    before = lab.picture()
    ours, theirs = os.openpty()

    def take_terminal():
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    p = subprocess.Popen(["ssm-tun", "up", "-c", lab.write_config()], stdin=theirs, stdout=theirs, stderr=theirs, env=lab.user_env,
                         preexec_fn=take_terminal)
    os.close(theirs)
    said = b""
    for wanted, then in ((b"up: 1 of 1", signal.SIGHUP), (b"reload: no change", None)):
        while wanted not in said:
            said += os.read(ours, 4096)
        if then:
            p.send_signal(then)
    check(p.poll() is None, "SIGHUP ends it: %s" % said[-200:])
    os.close(ours)
    status = p.wait(10)
    check(status == 0, "without its terminal it ends with status %s" % status)
    lab.expect_clean(before, 2.0)


@scenario("explain")
def explain(lab):
    """explain: rule, name, fake address, upstream, session, resolver path and kernel route, of names and addresses; it asks nobody."""
    world = World(lab)
    world.start()
    world.up(world.config(ROUTES + [{"match": "blocked.public.test", "upstream": "reject"}]))
    device = lab.status()["device"]
    fake = dig(lab, "db.one.internal")[0]
    asked = len(world.asked("one")) + len(world.asked("public"))
    for what, wanted in (("db.one.internal", ("*.one.internal", fake, "one", device)), (fake, ("db.one.internal", "one", device)),
                         (V4 + ":80", ("10.77.0.0/16", "one", device)), ("www.public.test", ("198.51.100.53",)),
                         ("8.8.8.8", ("cu",)), ("blocked.public.test", ("reject",)), ("169.254.169.254", ())):
        r = lab.tun("explain", what)
        check(r.status == 0 and all(w in r.out for w in wanted), "explain %s lacks one of %s: %s" % (what, wanted, r.text))
        r = lab.tun("explain", "--json", what)
        check(r.status == 0 and isinstance(json.loads(r.out), dict), "explain --json %s: %d %s" % (what, r.status, r.text))
    check(len(world.asked("one")) + len(world.asked("public")) == asked, "explain asked a resolver")
    r = lab.tun("explain", "not a name!")
    check(r.status != 0, "explain of nonsense: %d %s" % (r.status, r.text))
    lab.down()
    lab.daemon.wait()
    r = lab.tun("explain", "db.one.internal")
    check(r.status == 3, "explain without a tunnel: %d %s" % (r.status, r.text))
