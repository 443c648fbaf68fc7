# SPDX-License-Identifier: MIT
"""What the program is when nobody uses it: small, asleep, and no stranger's library."""
import os
import re
import time

import netns
from lab import check
from scenarios import scenario

RSS_MAX_KB = 8 * 1024


def switches(pid):
    with open("/proc/%d/status" % pid) as f:
        return sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)


@scenario("idle", alone=True)
def idle(lab):
    """RssAnon of the idle daemon is under 8 MiB, and it wakes up for keepalives only."""
    lab.standard()
    pid = lab.daemon_pid()
    time.sleep(3)  # what the start left to do
    seconds = 60 if lab.long else 10
    turns, naps = lab.status()["loop"]["turns"], switches(pid)
    time.sleep(0.2)  # the answer to `status` itself
    naps = switches(pid)
    time.sleep(seconds)
    naps = switches(pid) - naps
    turns = lab.status()["loop"]["turns"] - turns
    rss = netns.status_kb(pid, "RssAnon")
    lab.note("RssAnon %.1f MiB, %d wake-ups and %d loop turns in %d s" % (rss / 1024, naps, turns, seconds))
    if not lab.sanitized:
        check(rss < RSS_MAX_KB, "RssAnon of the idle daemon is %d kB" % rss)
    # A keepalive each way each 10 s or so; each may take a few turns. A 250 ms tick would be 40.
    allowed = 12 if seconds == 10 else 40
    check(naps <= allowed, "%d wake-ups in %d s" % (naps, seconds))
    others = {p: switches(p) for p in netns.processes() if p != pid}
    time.sleep(3)
    busy = {p: switches(p) - n for p, n in others.items() if switches(p) - n > 3}
    check(not busy, "keeper or runner wake up: %s" % busy)


@scenario("symbols")
def symbols(lab):
    """nm -D shows no libssh2 or lwIP symbol, exported or imported, in any of our programs."""
    ours = re.compile(r"\b(_?libssh2_\w+|lwip_\w+|pbuf_\w+|netif_\w+|tcp_(write|output|connect|listen\w*|bind|close|abort|recved|input|new\w*)"
                      r"|udp_(new\w*|bind|send\w*)|ip4?_(input|output\w*)|ip6_(input|output\w*)|memp_\w+|etharp_\w+|sys_timeout\w*)\b")
    for name in ("ssm-tun", "ssm-tun-gateway", "ssm-tun-agent"):
        path = os.path.join(lab.bin, name)
        out = lab.must("nm", "-D", path).out
        check(len(out.splitlines()) > 20, "nm -D of %s shows hardly anything" % name)
        found = ours.findall(out)
        check(not found, "%s: %s" % (name, sorted({f[0] for f in found})[:10]))
    libs = lab.must("readelf", "-d", lab.bin + "/ssm-tun").out
    check("libssh2" not in libs, "ssm-tun links the system's libssh2 itself")
