# SPDX-License-Identifier: MIT
"""The laboratory itself: what the other scenarios take for granted."""
import os

from lab import BLACKHOLE4, HOST_ID, NO_NET4, UNREACHABLE4, V4, V6, check, connect_error
import netns
from scenarios import scenario
from world import CLIENTS, PUBLIC4, PUBLIC6, RESOLVER_2, World, fetch, python


@scenario("laboratory")
def laboratory(lab):
    """Without the tunnel nothing of the VPC is reachable; inside it hosts refuse, are unreachable and silent as planned."""
    port4, port6 = lab.serve(lambda s: s.sendall(b"x"), V4), lab.serve(lambda s: s.sendall(b"x"), V6)
    lab.start_far_side()
    check([a["host_id"] for a in lab.agents() if a["connected"]] == [HOST_ID], "agents: %s" % lab.agents())
    for address, port in ((V4, port4), (V6, port6), (V4, 22)):
        what, _ = connect_error(address, port, 2)
        check(what == "ENETUNREACH", "%s is reachable without the tunnel: %s" % (address, what))
        if port != 22:
            what, _ = netns.call_in(lab.v, connect_error, address, port, 2)
            check(what == "open", "%s does not answer inside the VPC: %s" % (address, what))
    for address, want in ((UNREACHABLE4, "EHOSTUNREACH"), (NO_NET4, "ENETUNREACH"), (BLACKHOLE4, "timeout"), (V4, "ECONNREFUSED")):
        what, _ = netns.call_in(lab.v, connect_error, address, 9, 1.5)
        check(what == want, "%s inside the VPC: %s, not %s" % (address, what, want))
    check(netns.processes("sshd") and not netns.processes("systemd"), "the processes of another namespace are seen")
    check(os.listdir("/run") == ["sshd"] or "ssm-tun" not in os.listdir("/run"), "/run is not the lab's own")
    before = lab.picture()
    lab.must("ip", "rule", "add", "pref", "5300", "lookup", "5373")
    lab.must("ip", "-6", "route", "add", "fd99::/64", "dev", "vc", "table", "5373")
    os.mkdir("/run/ssm-tun")
    changed = lab.picture()
    check(len([x for x in changed["network"] if x not in before["network"]]) == 2, "a rule and a route escape the picture")
    check(changed != before, "the picture sees nothing")
    lab.must("ip", "rule", "del", "pref", "5300")
    lab.must("ip", "-6", "route", "del", "fd99::/64", "dev", "vc", "table", "5373")
    os.rmdir("/run/ssm-tun")
    lab.expect_clean(before)


@scenario("laboratory-names")
def laboratory_names(lab):
    """Two VPCs with one address, an internet, three resolvers: without the tunnel every client gets public names, and no private one."""
    world = World(lab)
    world.start()
    check(sorted(a["host_id"] for a in lab.agents() if a["connected"]) == [HOST_ID, "vpc-2"], "agents: %s" % lab.agents())
    for name, client in CLIENTS.items():
        got = client(lab, "www.public.test")
        check(got and set(got) <= {PUBLIC4, PUBLIC6}, "%s gets %s for the public name" % (name, got))
        got = client(lab, "db.one.internal")
        check(not got, "%s gets %s for a private name" % (name, got))
    fetch(lab, "www.public.test", "public")
    for ns, want in ((lab.v, "one"), (world.v2, "two")):
        r = lab.must("curl", "-sS", "--noproxy", "*", "--max-time", "5", "http://%s/" % V4, v=ns)
        check(r.out == want, "%s of the VPC of `%s` says %r" % (V4, want, r.out))
        r = lab.must("dig", "+short", "+tcp", "@" + RESOLVER_2, "db.%s.internal" % want, v=ns)
        check(r.out.split() == [V4], "the resolver of `%s` says %r" % (want, r.out))
    check({row["via"] for row in world.asked("public")} == {"udp", "tcp"}, "the public resolver was not asked both ways")
    before = lab.picture()
    world.write_resolv_conf("nameserver 198.18.0.2\nnameserver 198.51.100.53\noptions timeout:1\n")
    lab.must("nft", "add table inet ssm_tun; add chain inet ssm_tun out { type filter hook output priority 0; }")
    lab.must("sysctl", "-qw", "net.ipv4.conf.all.src_valid_mark=1")
    changed = [x for x in lab.picture()["host"] if x not in before["host"]]
    check({x.split()[0] for x in changed} == {"nft", "sysctl", "resolv.conf"}, "the picture sees only %s" % changed)
    check(not world.residue(before), "what a kill may leave is not allowed: %s" % world.residue(before))
    lab.must("nft", "add table inet other")
    check(world.residue(before), "somebody else's table is allowed to stay")
    check(len(python(lab, "www.public.test")) == 2, "with a dead resolver before it the public one does not answer")
