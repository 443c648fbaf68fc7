# SPDX-License-Identifier: MIT
"""The laboratory itself: what the other scenarios take for granted."""
import os

from lab import BLACKHOLE4, HOST_ID, NO_NET4, UNREACHABLE4, V4, V6, check, connect_error
import netns
from scenarios import scenario


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
