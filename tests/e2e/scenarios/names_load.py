# SPDX-License-Identifier: MIT
"""Names in numbers: a flood of queries, thousands of rules."""
import json
import shutil
import time

import netns
from lab import V4, check
from scenarios import scenario
from scenarios.traffic import RssWatch
from world import PUBLIC4, STACK_DNS, World, dig, fetch

MIB = 1024  # kB
FLOOD_RATE = 10000
FLOOD_MAX_KB = 24 * MIB  # cache 4 MiB, queries under way, the fake map of 65,280 names
RULES = 5000
UP_MAX_S = 5.0
RULES_MAX_KB = 8 * MIB
RESOLVED_MAX = 1024  # domains of a link; systemd 252, LINK_SEARCH_DOMAINS_MAX


@scenario("names-flood", alone=True)
def names_flood(lab):
    """10,000 queries a second with 1 % garbage: nothing crashes, memory stays under its cap, other names are answered meanwhile."""
    seconds = 10 if lab.long else 2
    world = World(lab)
    world.write_table("one", **{"*.flood.one.internal": {"A": [V4], "ttl": 300}})
    world.start()
    program = lab.build + "/bin/dnsflood"
    shutil.copy(program, lab.bin)
    world.up()
    pid = lab.daemon_pid()
    before = netns.status_kb(pid, "RssAnon")
    with RssWatch(pid) as rss:
        p = lab.spawn("flood", ["dnsflood", STACK_DNS, "53", "--rate", str(FLOOD_RATE), "--seconds", str(seconds), "--garbage", "1",
                                "--name", "h%.flood.one.internal", "--names", "500", "--types", "A,AAAA"])
        worst = max(fetch(lab, "db.one.internal", "one") for _ in range(3))
        status = p.wait(seconds + 30)
    check(status == 0, "the flood: %s" % p.text[-300:])
    r = json.loads(p.text.splitlines()[-1])
    good = r["sent"] - r["garbage"]
    check(r["answered"] >= good * 0.5 or lab.sanitized, "%d of %d queries were answered" % (r["answered"], good))
    check(lab.daemon.running() and lab.daemon_pid() == pid, "the daemon has ended")
    grown = rss.peak - before
    check(grown < FLOOD_MAX_KB or lab.sanitized, "RssAnon grew by %d kB" % grown)
    lab.note("%d of %d answered; RssAnon +%.1f MiB; a name beside it %.0f ms" % (r["answered"], good, grown / MIB, worst * 1e3))
    fetch(lab, "db.one.internal", "one")
    check(dig(lab, "www.public.test") == [PUBLIC4], "public names after the flood")


def many_rules():
    """Prefixes that can't be joined, and names under 50 suffixes."""
    routes = [{"match": "10.%d.%d.0/24" % (128 + i // 128, 2 * (i % 128)), "upstream": "one"} for i in range(RULES)]
    return routes + [{"match": "n%d.s%d.many.internal" % (i, i % 50), "upstream": "one" if i % 2 else "two"} for i in range(RULES)]


def expect_folded(lab, world, p):
    """resolved was told no more domains than it takes, under which every name lies, and one line says that some are parents."""
    told = {d.lstrip("~") for d in world.resolved_links()[lab.status()["device"]]["domains"]}
    check(len(told) <= RESOLVED_MAX, "resolved was told %d domains" % len(told))
    lost = [n for n in (r["match"] for r in many_rules()[RULES:]) if not any(".".join(n.split(".")[i:]) in told for i in range(4))]
    check(not lost, "%d names lie below no domain that resolved was told: %s" % (len(lost), lost[:3]))
    lines = [line for line in p.text.splitlines() if "folded" in line]
    check(len(lines) == 1 and str(RESOLVED_MAX) in lines[0], "folded suffixes are told by %d lines" % len(lines))


@scenario("rules-many", alone=True)
def rules_many(lab):
    """5,000 prefixes and 5,000 names under 50 suffixes: up in under 5 s, under 8 MiB more; each still decides."""
    world = World(lab)
    world.write_table("one", **{"n4999.s49.many.internal": {"A": [V4]}})
    world.write_table("two", **{"n4998.s48.many.internal": {"A": [V4]}})
    world.start_resolved()
    world.start()
    before, rss = lab.picture(), {}
    small = [{"match": "*.one.internal", "upstream": "one"}, {"match": "10.77.0.0/16", "upstream": "one"}]
    for label, routes in (("small", small), ("many", small + many_rules())):
        p = world.up(world.config(routes, dns={"manager": "resolved"}, match_order="specific"), timeout=60)
        took = time.monotonic() - p.started
        fetch(lab, "db.one.internal", "one")
        rss[label] = netns.status_kb(lab.daemon_pid(), "RssAnon")
        lab.note("%s: up in %.1f s, RssAnon %.1f MiB" % (label, took, rss[label] / MIB))
        check(took < UP_MAX_S or lab.sanitized, "%s: up after %.1f s" % (label, took))
        if label == "many":
            check(rss["many"] - rss["small"] < RULES_MAX_KB or lab.sanitized, "the rules take %d kB" % (rss["many"] - rss["small"]))
            fetch(lab, "n4999.s49.many.internal", "one")
            fetch(lab, "n4998.s48.many.internal", "two")
            expect_folded(lab, world, p)
            routes_n = len(lab.must("ip", "route", "show", "table", "5373").out.splitlines())
            check(RULES <= routes_n <= RULES + 20, "%d routes stand" % routes_n)
        lab.down()
        lab.daemon.wait()
        lab.expect_clean(before, 3.0)
