# SPDX-License-Identifier: MIT
"""However it ends, the host is as it was before."""
import os
import signal
import time

import netns
from lab import OTHER_UID, UID, V4, Fail, check, connect, recv_exactly
from netns import wait_until
from scenarios import scenario


def uid_of(pid):
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith("Uid:"):
                return int(line.split()[1])
    return None


def helpers(lab):
    """(daemon, keeper, runners): the keeper is root's, the others are the caller's."""
    daemon = lab.daemon_pid()
    all_ = netns.processes()
    keepers = [p for p in all_ if uid_of(p) == 0]
    check(len(keepers) == 1, "%d root processes beside the daemon, not one keeper: %s" % (len(keepers), all_))
    check(uid_of(daemon) == UID, "the daemon runs as uid %s" % uid_of(daemon))
    return daemon, keepers[0], [p for p in all_ if p not in (daemon, keepers[0])]


def fetch(lab, port):
    with connect(V4, port, 10) as s:
        check(recv_exactly(s, 5) == b"hello", "the server said something else")


@scenario("cleanup-end")
def cleanup_end(lab):
    """SIGTERM, SIGINT and `down`, with flows open: exit status 0, nothing of ours is left."""
    lab.start_far_side()
    port = lab.serve(lambda s: (s.sendall(b"hello"), s.recv(1)))
    before = lab.picture()
    for how in ("SIGTERM", "SIGINT", "Ctrl-C", "down", "down while starting"):
        if how == "down while starting":
            p = lab.up(wait=False)
            try:
                wait_until(lambda: os.path.exists("/run/ssm-tun/default/control.sock") or not p.running(), 5, "the control socket")
            except TimeoutError as e:
                raise Fail(str(e)) from None
            lab.down()
            p.wait()
            lab.expect_clean(before)
            continue
        p = lab.up()
        fetch(lab, port)
        held = connect(V4, port)
        during = lab.picture()
        check(during["network"] != before["network"] and during["files"], "up, and yet nothing stands?")
        t = time.monotonic()
        if how == "down":
            lab.down()
        elif how == "Ctrl-C":
            os.killpg(p.pid, signal.SIGINT)
        else:
            p.send(getattr(signal, how))
        status = p.wait(10)
        lab.note("%s %.1f s" % (how, time.monotonic() - t))
        check(status == 0, "%s: exit status %d" % (how, status))
        lab.expect_clean(before, 1.0)
        held.close()
    check("Traceback" not in lab.gateway.text, "the gateway broke")


@scenario("cleanup-kill")
def cleanup_kill(lab):
    """kill -9 of daemon, keeper, both, runner: as decision 14 says."""
    lab.start_far_side()
    port = lab.serve(lambda s: (s.sendall(b"hello"), s.recv(1)))
    before = lab.picture()

    # The daemon: the keeper restores all within 1 s.
    p = lab.up()
    fetch(lab, port)
    daemon, keeper, _ = helpers(lab)
    os.kill(daemon, signal.SIGKILL)
    t = time.monotonic()
    lab.expect_clean(before, 1.5)
    lab.note("daemon killed: clean after %.2f s" % (time.monotonic() - t))
    p.wait()

    # The keeper: the daemon removes its rules itself and ends with status 1.
    p = lab.up()
    daemon, keeper, _ = helpers(lab)
    os.kill(keeper, signal.SIGKILL)
    check(p.wait(10) == 1, "the keeper's death: exit status %s" % p.popen.returncode)
    check("keeper" in p.text, "nothing is said of the keeper's death")
    now = lab.picture()
    check(not [x for x in now["network"] if x not in before["network"]], "the keeper's death left %s" % now["network"])
    lab.down()
    lab.expect_clean(before, 1.0)

    # Both: only rules, socket and journal may stay; `down` removes them.
    for heal in ("down", "up"):
        p = lab.up()
        daemon, keeper, _ = helpers(lab)
        os.kill(keeper, signal.SIGSTOP)  # so that it cannot act between the two signals
        os.kill(daemon, signal.SIGKILL)
        os.kill(keeper, signal.SIGKILL)
        p.wait()
        wait_until(lambda: not netns.processes(), 2, "the runner has ended too")
        left = [x for x in lab.picture()["network"] if x not in before["network"]]
        check(all(x.startswith("rule") for x in left), "kill -9 of both left more than rules: %s" % left)
        check(lab.tun("status").status == 3, "status of a killed instance is not 3")
        if heal == "up":
            lab.up()
            fetch(lab, port)
        lab.down()
        lab.daemon.wait()
        lab.expect_clean(before, 1.0)

    # The runner: the tunnel goes on, or ends in order; it never hangs about half alive.
    p = lab.up()
    daemon, keeper, runners = helpers(lab)
    for r in runners:
        os.kill(r, signal.SIGKILL)
    time.sleep(0.3)  # what may follow has no event of its own
    if p.running():
        fetch(lab, port)
    lab.down()
    p.wait()
    lab.expect_clean(before, 1.0)


@scenario("cleanup-verbs")
def cleanup_verbs(lab):
    """`down` twice, `up` twice, a second name, `status` of nobody and of another user, `up -d`."""
    lab.start_far_side()
    before = lab.picture()
    for _ in range(2):
        lab.down()
    r = lab.tun("status")
    check(r.status == 3 and "not running" in r.err, "status without a daemon: %d %s" % (r.status, r.err))
    p = lab.up()
    r = lab.tun("up", "-c", lab.home + "/tun.yaml")
    check(r.status == 1 and "up already" in r.err, "up twice: %d %s" % (r.status, r.err))
    r = lab.tun("up", "second", "-c", lab.home + "/tun.yaml")
    check(r.status == 1 and "default" in r.err and "down" in r.err, "a second name: %d %s" % (r.status, r.err))
    check(lab.status()["state"] == "running", "a second up disturbed the first")
    own = lab.run("ssm-tun", "status", user=UID)
    check(own.status == 0 and not own.err, "the owner's status without sudo: %d %s" % (own.status, own.err))
    for args in (["status"], ["status", "--json"]):
        r = lab.run("ssm-tun", *args, user=OTHER_UID)
        check(r.status == 1 and not r.out, "another user's status: %d %s" % (r.status, r.out))
        check(len(r.err.strip().splitlines()) == 1 and ("user" in r.err), "another user's status says: %s" % r.err)
    r = lab.run("ssm-tun", "down", user=OTHER_UID)
    check(r.status == 1 and lab.status()["state"] == "running", "another user's down: %d" % r.status)
    for _ in range(2):
        lab.down()
    check(p.wait() == 0, "exit status after down: %s" % p.popen.returncode)
    lab.expect_clean(before, 1.0)

    # Detached: returns once it is up, and goes on.
    lab.write_config()
    r = lab.tun("up", "-d", "-c", lab.home + "/tun.yaml", timeout=30)
    check(r.status == 0, "up -d: %d %s" % (r.status, r.err))
    check(lab.status()["state"] == "running", "detached, and not running")
    port = lab.serve(lambda s: (s.sendall(b"hello"), s.recv(1)))
    fetch(lab, port)
    lab.down()
    lab.expect_clean(before, 1.0)
    log = lab.home + "/.local/state/ssm-tun/default.log"
    check(os.path.exists(log) and os.stat(log).st_uid == UID and os.stat(log).st_mode & 0o077 == 0, "no private log at " + log)
    r = lab.tun("up", "-d", "-c", lab.home + "/nothing.yaml")
    check(r.status == 1 and "nothing.yaml" in r.err, "up -d without a file: %d %s" % (r.status, r.err))
    lab.expect_clean(before, 1.0)


@scenario("device-lost")
def device_lost(lab):
    """The device is deleted under a running daemon: it says so, ends with status 1, and leaves nothing."""
    lab.start_far_side()
    before = lab.picture()
    p = lab.up()
    lab.must("ip", "link", "del", lab.status()["device"])
    check(p.wait(10) == 1, "exit status %s" % p.popen.returncode)
    check("device" in p.text, "nothing is said of the device")
    lab.expect_clean(before, 1.0)


@scenario("cleanup-random")
def cleanup_random(lab):
    """kill -9 of daemon, keeper or both at any moment of start and end; `down`, or another `up`, leaves the host as it was."""
    import random
    dice = random.Random(5)
    lab.start_far_side()
    before = lab.picture()
    for i in range(200 if lab.long else 24):
        p = lab.up(wait=False)
        time.sleep(dice.random() * 0.08)  # any moment is the point
        who = dice.choice(("daemon", "keeper", "all"))
        for pid, name in netns.processes().items():
            is_keeper = "keeper" in name
            if who == "all" or is_keeper == (who == "keeper") and (is_keeper or pid == p.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if who != "keeper":
            p.wait()
        # What `down` does to one that has not even claimed its name is the next scenario's matter.
        wait_until(lambda: not p.running() or os.path.exists("/run/ssm-tun/default/control.sock"), 5, "the survivor is on its way")
        if dice.random() < 0.3:
            lab.run("ssm-tun", "up", "-d", "-c", lab.home + "/tun.yaml", env=lab.user_env)
        lab.down()
        p.wait(10)
        try:
            lab.expect_clean(before, 1.5)
        except Fail as e:
            raise Fail("round %d, %s killed: %s" % (i, who, e)) from None


@scenario("down-race")
def down_race(lab):
    """`down` at any moment of a start: the tunnel ends, or stands whole; never half."""
    import random
    dice = random.Random(6)
    lab.start_far_side()
    before = lab.picture()
    won = 0
    for i in range(100 if lab.long else 20):
        p = lab.up(wait=False)
        time.sleep(dice.random() * 0.02)  # any moment is the point
        lab.down()
        wait_until(lambda: not p.running() or "up: 1 of 1" in p.text, 10, "the start has ended one way or the other")
        if p.running():
            won += 1
            check(lab.tun("status").status == 0, "round %d: up, and status says it is not" % i)
            rules = [x for x in lab.picture()["network"] if x.startswith("rule") and x not in before["network"]]
            check(len(rules) >= 2, "round %d: up without its rules: %s" % (i, rules))
            lab.down()
        p.wait()
        lab.expect_clean(before, 1.5)
    lab.note("up won %d times" % won)


@scenario("up-race")
def up_race(lab):
    """Six `up` at the same moment: one comes up, the others say so and leave it alone."""
    lab.start_far_side()
    before = lab.picture()
    path = lab.write_config()
    for _ in range(3):
        ups = [lab.spawn("up-%d" % i, ["ssm-tun", "up", "-c", path], env=lab.user_env) for i in range(6)]
        wait_until(lambda: sum(p.running() for p in ups) <= 1 and any("up: 1 of 1" in p.text for p in ups), 10, "one is up")
        losers = [p for p in ups if not p.running()]
        check(len(losers) == 5 and all(p.popen.returncode == 1 and "up already" in p.text for p in losers),
              "the others: %s" % [(p.popen.returncode, p.text[-150:]) for p in losers])
        check(lab.status()["state"] == "running", "the one that won is %s" % lab.status()["state"])
        lab.down()
        for p in ups:
            p.wait()
        lab.expect_clean(before, 1.5)


@scenario("control-socket")
def control_socket(lab):
    """Rude clients of the control socket lose their own connection; status goes on answering."""
    import socket
    path = "/run/ssm-tun/default/control.sock"

    def client():
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(10)
        s.connect(path)
        return s

    def answer(s):
        data = b""
        while not data.endswith(b"\n"):
            b = s.recv(65536)
            if not b:
                break
            data += b
        return data

    lab.standard()
    check(os.stat(path).st_mode & 0o777 == 0o600 and os.stat(path).st_uid == UID, "the socket's mode or owner")
    check(os.stat("/run/ssm-tun/default").st_mode & 0o777 == 0o700, "the folder's mode")
    for request in (b"\n", b"[]\n", b"{}\n", b"{\"cmd\": 7}\n", b"{\"cmd\": \"\x1b[2J\"}\n", b"\xff\xfe\n", b"x" * 70000):
        with client() as s:
            try:
                s.sendall(request)
                got = answer(s)
            except OSError:
                got = b""
        check(b"\x1b" not in got and (not got or b'"ok":false' in got.replace(b" ", b"")), "%r got %r" % (request[:20], got[:200]))
    idlers = [client() for _ in range(8)]
    with client() as s:
        check(b"clients" in answer(s), "a ninth client is not refused")
    t = time.monotonic()
    for s in idlers:
        check(s.recv(1) == b"", "a client that says nothing got an answer")
        s.close()
    check(4 < time.monotonic() - t < 7, "silent clients were dropped after %.1f s" % (time.monotonic() - t))
    check(lab.status()["state"] == "running", "status after all that")
