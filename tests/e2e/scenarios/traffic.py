# SPDX-License-Identifier: MIT
"""Traffic that must arrive: pages, bulk, many flows, and real programs' sessions."""
import hashlib
import os
import selectors
import shutil
import socket
import threading
import time

import netns
from lab import BLACKHOLE4, NO_NET4, ROOT, UNREACHABLE4, V4, V6, check, connect, connect_error, random_file, recv_exactly
from netns import wait_until
from scenarios import scenario

MIB = 1 << 20
RSS_MAX_KB = 128 * 1024


def proxies_in_environment(env):
    return [k for k in env if k.lower().endswith("_proxy")]


@scenario("curl-v4-v6")
def curl_v4_v6(lab):
    """curl by address, IPv4 and IPv6, to a server that only the far side reaches; no proxy variable anywhere."""
    folder = ROOT + "/www"
    os.mkdir(folder)
    page = random_file(folder + "/page.bin", 3 * MIB)
    with open(page, "rb") as f:
        want = f.read()
    port4, port6 = lab.serve_http(folder, V4), lab.serve_http(folder, V6)
    what, _ = connect_error(V4, port4, 2)
    check(what in ("ENETUNREACH", "timeout", "EHOSTUNREACH"), "the VPC is reachable without the tunnel: %s" % what)
    t = time.monotonic()
    lab.standard()
    lab.note("far side and up in %.1f s" % (time.monotonic() - t))
    check(not proxies_in_environment(lab.env), "a proxy variable is set")
    for url in ("http://%s:%d/page.bin" % (V4, port4), "http://[%s]:%d/page.bin" % (V6, port6)):
        r = lab.run("curl", "-sS", "--max-time", "20", url, binary=True)
        check(r.status == 0, "curl %s: %s" % (url, r.err.decode(errors="replace")))
        check(r.out == want, "%s: %d bytes came, not the %d that were served" % (url, len(r.out), len(want)))
        lab.note("%.0f ms" % (r.seconds * 1e3))
    st = lab.status()
    check(st["state"] == "running" and st["flows"]["opened"] >= 2, "status does not show the two flows: %s" % st["flows"])
    check(lab.tun("status").status == 0, "status for people fails")


class RssWatch:
    """The largest RssAnon of a process while the body of `with` runs."""

    def __init__(self, pid):
        self.pid, self.peak, self.stop = pid, 0, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.body, daemon=True)
        self.thread.start()
        return self

    def body(self):
        while not self.stop.wait(0.05):
            try:
                self.peak = max(self.peak, netns.status_kb(self.pid, "RssAnon"))
            except OSError:
                return

    def __exit__(self, *exc):
        self.stop.set()
        self.thread.join()


@scenario("bulk-sums", alone=True)
def bulk_sums(lab):
    """Much data both ways over one flow, then many flows at once: every SHA-256 agrees, memory stays bounded."""
    one = (1024 if lab.long else 64) * MIB
    flows, each = (200, 5 * MIB) if lab.long else (50, MIB)
    lab.standard()
    port = lab.start_flowgen()
    with RssWatch(lab.daemon_pid()) as rss:
        for label, args in (("up", ("--up", one)), ("down", ("--down", one)), ("both", ("--up", one, "--down", one))):
            r = lab.flowgen("xfer", V4, port, *args, timeout=1200)
            check(r["ok"] == 1, "%s: %s" % (label, r))
            lab.note("%s %.0f/%.0f MB/s" % (label, r["up_mb_s"], r["down_mb_s"]))
        r = lab.flowgen("xfer", V4, port, "--up", each, "--down", each, "-n", flows, timeout=1200)
        check(r["ok"] == flows, "%d of %d flows: %s" % (r["ok"], flows, r))
        lab.note("%d flows %.0f/%.0f MB/s" % (flows, r["up_mb_s"], r["down_mb_s"]))
    lab.note("RssAnon at most %.1f MiB" % (rss.peak / 1024))
    check(0 < rss.peak and (rss.peak < RSS_MAX_KB or lab.sanitized), "RssAnon reached %d kB" % rss.peak)


@scenario("idle-1000", alone=True)
def idle_1000(lab):
    """1,000 flows at once over two sessions, idle for a while, then all used again."""
    count = 1000
    lab.standard(lab_config_min2(lab))
    lab.start_flowgen()
    sessions = wait_until(lambda: [s for s in lab.status()["upstreams"][0]["sessions"] if s["state"] == "ready"][1:] and
                          lab.status()["upstreams"][0]["sessions"], 20, "two sessions are ready")
    pid = lab.daemon_pid()
    before = netns.status_kb(pid, "RssAnon")
    t = time.monotonic()
    socks = connect_many(V4, 7000, count)
    lab.note("opened in %.1f s" % (time.monotonic() - t))
    use_all(socks, b"a")
    idle_kb = netns.status_kb(pid, "RssAnon")
    lab.note("%.1f KiB a flow" % ((idle_kb - before) / count))
    per_session = [s["channels"] for s in lab.status()["upstreams"][0]["sessions"]]
    check(sum(per_session) == count, "%s channels, not %d" % (per_session, count))
    check(len(sessions) == 2 and min(per_session) >= count * 0.4, "the flows are not spread: %s" % per_session)
    time.sleep(60 if lab.long else 3)  # the idleness is the point
    t = time.monotonic()
    use_all(socks, b"b")
    lab.note("all used again in %.2f s" % (time.monotonic() - t))
    check(netns.status_kb(pid, "RssAnon") < RSS_MAX_KB or lab.sanitized, "RssAnon is beyond its limit")
    for s in socks:
        s.close()
    wait_until(lambda: lab.status()["flows"]["now"] == 0, 15, "the flows have ended")


def lab_config_min2(lab):
    # The configuration needs keys and ports that exist once the gateway does.
    lab.upstream_changes["sessions"] = {"min": 2, "max": 4}


def connect_many(address, port, count, at_once=100):
    """count connected sockets that have asked the server to echo."""
    sel = selectors.DefaultSelector()
    done, pending = [], 0
    end = time.monotonic() + 60
    while len(done) < count:
        while pending < at_once and pending + len(done) < count:
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((address, port))
            sel.register(s, selectors.EVENT_WRITE)
            pending += 1
        check(time.monotonic() < end, "%d of %d connected in time" % (len(done), count))
        for key, _ in sel.select(1.0):
            s = key.fileobj
            err = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            check(err == 0, "connection %d: %s" % (len(done), os.strerror(err)))
            sel.unregister(s)
            pending -= 1
            s.send(b"echo\n")
            done.append(s)
    return done


def use_all(socks, byte):
    """One byte there and back on each, all at once."""
    for s in socks:
        s.setblocking(True)
        s.settimeout(20)
        s.sendall(byte)
    for i, s in enumerate(socks):
        got = s.recv(1)
        check(got == byte, "flow %d gave %r for %r" % (i, got, byte))


@scenario("refusals", alone=True)
def refusals(lab):
    """Refused, unreachable and silent hosts tell the application the truth, and disturb nobody else."""
    budget = 10.0
    healthy = lab.serve(lambda s: s.sendall(b"hello"))
    healthy6 = lab.serve(lambda s: s.sendall(b"hello"), V6)
    lab.standard()
    closed = free_port(lab)
    for address in (V4, V6):
        what, s = connect_error(address, closed)
        lab.note("refused in %.0f ms" % (s * 1e3))
        check(what == "ECONNREFUSED" and s < 1.0, "closed port of %s: %s after %.2f s" % (address, what, s))
    for address, want in ((UNREACHABLE4, {"EHOSTUNREACH"}), (NO_NET4, {"ENETUNREACH", "EHOSTUNREACH"})):
        what, s = connect_error(address, 80)
        check(what in want and s < budget, "unreachable %s: %s after %.2f s" % (address, what, s))
    ports = [p for p in range(20000, 20102) if p not in (healthy, healthy6)][:100]
    t = time.monotonic()
    results = at_once(connect_error, [(V4, p) for p in ports])
    check(all(r[0] == "ECONNREFUSED" for r in results), "scan: %s" % sorted({r[0] for r in results}))
    lab.note("scan of 100 in %.2f s" % (time.monotonic() - t))
    # Black holes: 200 addresses, so that no limit for one address hides what is asked here.
    holes = [("10.77.99.%d" % (i + 10), 80) for i in range(200)]
    done = []
    threads = start_all(lambda a, p: done.append(connect_error(a, p)), holes)
    wait_until(lambda: lab.status()["flows"]["opening"] >= 150, 5, "the black holes are being tried")
    times = []
    for _ in range(10):
        t = time.monotonic()
        with connect(V4, healthy, 5) as c:
            check(recv_exactly(c, 5) == b"hello", "the healthy host said something else")
        times.append(time.monotonic() - t)
    lab.note("beside 200 black holes: %.0f ms" % (max(times) * 1e3))
    check(max(times) < 0.5, "a connection to a healthy host took %.2f s beside black holes" % max(times))
    for t in threads:
        t.join(40)
    check(len(done) == 200, "%d of 200 black holes have an answer" % len(done))
    check({w for w, _ in done} == {"EHOSTUNREACH"}, "black holes: %s" % sorted({w for w, _ in done}))
    slow = max(s for _, s in done)
    lab.note("no answer told after %.1f s" % slow)
    check(slow < budget + 2, "a host that never answers was told after %.1f s" % slow)
    # What is known to be silent is told at once (the negative cache), and a healthy one still works.
    what, s = connect_error(BLACKHOLE4.rsplit(".", 1)[0] + ".10", 80)
    check(what == "EHOSTUNREACH" and s < budget + 2, "a known black hole: %s after %.1f s" % (what, s))
    with connect(V6, healthy6, 5) as c:
        recv_exactly(c, 5)


def free_port(lab):
    s, port = lab.listen()
    s.close()
    return port


def start_all(fn, args):
    threads = [threading.Thread(target=fn, args=a, daemon=True) for a in args]
    for t in threads:
        t.start()
    return threads


def at_once(fn, args, timeout=40):
    results = [None] * len(args)

    def one(i, a):
        results[i] = fn(*a)
    for t in start_all(one, list(enumerate(args))):
        t.join(timeout)
    check(None not in results, "some never ended")
    return results


@scenario("ssh-login")
def ssh_login(lab):
    """An SSH login through the tunnel, to a second sshd of the VPC, with a file copied each way."""
    lab.standard()
    path = ROOT + "/v/inner_sshd_config"
    with open(ROOT + "/v/sshd_config") as f, open(path, "w") as out:
        out.write(f.read().replace("ListenAddress 127.0.0.1", "ListenAddress " + V4).replace("Port 22\n", "Port 2022\n"))
    lab.spawn("inner-sshd", ["/usr/sbin/sshd", "-D", "-e", "-f", path], v=True).wait_text("Server listening")
    opts = ["-F", "none", "-i", lab.user_key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR"]
    r = lab.must("ssh", *opts, "-p", "2022", "root@" + V4, "echo $SSH_CONNECTION; head -c 5000000 /dev/zero | sha256sum")
    check(hashlib.sha256(bytes(5000000)).hexdigest() in r.out and V4 in r.out, "the login said: %s" % r.out[:200])
    source = random_file(ROOT + "/tmp/source", 8 * MIB)
    lab.must("scp", *opts, "-P", "2022", source, "root@%s:%s/v/there" % (V4, ROOT))
    lab.must("scp", *opts, "-P", "2022", "root@%s:%s/v/there" % (V4, ROOT), ROOT + "/tmp/back")
    with open(source, "rb") as a, open(ROOT + "/tmp/back", "rb") as b:
        check(a.read() == b.read(), "the copy differs")
    # A terminal session: keystroke by keystroke.
    r = lab.must("ssh", *opts, "-tt", "-p", "2022", "root@" + V4, stdin=b"echo $((6*7))\nexit\n", binary=True)
    check(b"42" in r.out, "the terminal session said: %r" % r.out[-200:])


@scenario("postgres", seconds=10)
def postgres(lab):
    """A real PostgreSQL session: psql, and pgbench with 8 clients."""
    from lab import Skip
    versions = sorted(os.listdir("/usr/lib/postgresql")) if os.path.isdir("/usr/lib/postgresql") else []
    if not versions or not shutil.which("pgbench"):
        raise Skip("PostgreSQL is not installed")
    pg = "/usr/lib/postgresql/%s/bin/" % versions[-1]
    data = ROOT + "/v/pg"
    os.mkdir(data)
    shutil.chown(data, "postgres", "postgres")
    lab.must(pg + "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", user="postgres", timeout=90)
    with open(data + "/pg_hba.conf", "a") as f:
        f.write("host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n")
    lab.spawn("postgres", ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", pg + "postgres", "-D", data, "-k", ROOT + "/tmp",
                           "-c", "listen_addresses=%s,%s" % (V4, V6), "-c", "fsync=off"], v=True)
    lab.standard()
    wait_until(lambda: lab.run("pg_isready", "-h", V4).status == 0, 20, "PostgreSQL answers")
    r = lab.must("psql", "-h", V6, "-U", "postgres", "-Atc", "select sum(i) from generate_series(1, 100000) i")
    check(r.out.strip() == "5000050000", "psql said %r" % r.out)
    lab.must("pgbench", "-h", V4, "-U", "postgres", "-i", "-s", "1", "-q", "postgres")
    r = lab.must("pgbench", "-h", V4, "-U", "postgres", "-c", "8", "-j", "2", "-T", "30" if lab.long else "5", "postgres")
    tps = next(line for line in r.out.splitlines() if line.startswith("tps"))
    check("number of failed transactions: 0 " in r.out or "failed" not in r.out, r.out)
    lab.note(tps)


@scenario("git-clone")
def git_clone(lab):
    """A git clone over HTTP through the tunnel; the clone is whole."""
    repo = ROOT + "/www/repo"
    os.makedirs(repo)
    env = dict(lab.env, GIT_AUTHOR_NAME="e", GIT_AUTHOR_EMAIL="e@e", GIT_COMMITTER_NAME="e", GIT_COMMITTER_EMAIL="e@e")
    lab.must("git", "init", "-q", "-b", "main", repo, env=env)
    for i in range(20):
        random_file("%s/file%d" % (repo, i), 200000)
        lab.must("git", "-C", repo, "add", ".", env=env)
        lab.must("git", "-C", repo, "commit", "-q", "-m", "commit %d" % i, env=env)
    lab.must("git", "clone", "-q", "--bare", repo, ROOT + "/www/repo.git", env=env)
    lab.must("git", "-C", ROOT + "/www/repo.git", "update-server-info", env=env)
    port = lab.serve_http(ROOT + "/www")
    lab.standard()
    lab.must("git", "clone", "-q", "http://%s:%d/repo.git" % (V4, port), ROOT + "/tmp/clone", env=env)
    lab.must("git", "-C", ROOT + "/tmp/clone", "fsck", "--full", env=env)
    heads = [lab.must("git", "-C", d, "rev-parse", "main", env=env).out for d in (repo, ROOT + "/tmp/clone")]
    check(heads[0] == heads[1], "the clone has another head")
