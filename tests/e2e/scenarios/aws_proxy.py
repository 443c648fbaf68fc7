# SPDX-License-Identifier: MIT
"""An HTTPS proxy with a password carries everything, or with NO_PROXY nothing.

The proxy is tinyproxy with a hosts file of its own: the endpoints' names are known to it alone. alice's programs reach nothing but its
port: a rule of the packet filter rejects, and counts, every other packet of hers, so one direct attempt would show.
"""
import base64
import json
import os
import re
import shutil
import socket

from lab import LINK_C, ROOT, UID, Skip, check
from netns import wait_until
from played import Played
from scenarios import scenario
from scenarios.aws import hello

API, DATA = "aws.play.test", "data.play.test"
USER, PASSWORD = "carol", "p-ss.w_rd"  # tinyproxy takes letters, digits and these
IN_URL = "carol:p%2Dss.w%5Frd"


class Proxy:
    def __init__(self, lab):
        program = shutil.which("tinyproxy", path=lab.env["PATH"])
        if not program:
            raise Skip("tinyproxy is not installed")
        with socket.socket() as s:
            s.bind((LINK_C, 0))
            self.port = s.getsockname()[1]
        self.lab, base = lab, ROOT + "/tmp/tinyproxy"
        with open(base + ".hosts", "w") as f:
            f.write("127.0.0.1 localhost\n%s %s %s\n" % (LINK_C, API, DATA))
        with open(base + ".conf", "w") as f:
            f.write("Port %d\nListen %s\nTimeout 600\nMaxClients 100\nLogLevel Connect\nBasicAuth %s %s\n" % (
                self.port, LINK_C, USER, PASSWORD))
        self.process = lab.spawn("tinyproxy", ["unshare", "--mount", "sh", "-c", "mount --bind %s.hosts /etc/hosts && "
                                               "exec %s -d -c %s.conf" % (base, program, base)])
        wait_until(self.listens, 10, "tinyproxy listens")

    def listens(self):
        try:
            socket.create_connection((LINK_C, self.port), 1).close()
            return True
        except OSError:
            return False

    def url(self):
        return "http://%s@%s:%d" % (IN_URL, LINK_C, self.port)

    def carried(self):
        """Names that it connected to since the start, one for each CONNECT."""
        return re.findall(r"CONNECT ([^\s:]+):\d+ HTTP", self.process.text)


class Wall:
    """Only the proxy is reachable for alice."""

    def __init__(self, lab, proxy):
        self.lab = lab
        lab.must("nft", "add table inet wall; add chain inet wall out { type filter hook output priority 0; }; "
                        "add rule inet wall out meta skuid %d ip daddr %s tcp dport %d accept; "
                        "add rule inet wall out meta skuid %d meta l4proto { tcp, udp } counter reject" % (UID, LINK_C, proxy.port, UID))

    def hits(self):
        rules = json.loads(self.lab.must("nft", "-j", "list", "chain", "inet", "wall", "out").out)["nftables"]
        return sum(e["counter"]["packets"] for r in rules if "rule" in r for e in r["rule"]["expr"] if "counter" in e)

    def fall(self):
        self.lab.must("nft", "delete table inet wall")


@scenario("aws-proxy")
def aws_proxy(lab):
    """tinyproxy with a password carries API and WebSocket, nothing goes past it; with NO_PROXY it is not asked for anything."""
    lab.gateway_names = [DATA]
    lab.start_far_side()
    played = Played(lab, "--names", API)
    played.url = "https://%s:%d" % (API, played.play.https)
    played.do("set", ssm={"stream_url": "wss://%s:%d" % (DATA, lab.gateway_ports["control"])})
    played.profiles({"profile app": {}}, {"app": played.keys()})
    proxy = Proxy(lab)
    wall = Wall(lab, proxy)
    check(lab.run("curl", "-sS", "--noproxy", "*", "--max-time", "5", "telnet://%s:%d" % (LINK_C, played.play.https), user=UID).status == 7,
          "the wall lets alice through")
    had = wall.hits()
    env = dict(lab.user_env, HTTPS_PROXY=proxy.url())
    lab.up(played.config("app"), "-vv", env=env)
    hello(lab)()
    check(wall.hits() == had, "%d packets went past the proxy" % (wall.hits() - had))
    for name in (API, DATA):
        check(name in proxy.carried(), "the proxy was not asked for %s: %s" % (name, proxy.carried()))
    check(all(r["present"].count("Proxy-Authorization") == 0 for r in played.play.rows()), "the proxy's password went to AWS")
    shown, basic = lab.daemon.text + lab.tun("status", "--json").text, base64.b64encode(b"%s:%s" % (USER.encode(), PASSWORD.encode()))
    check(PASSWORD not in shown and IN_URL not in shown and basic.decode() not in shown, "the password is shown")
    lab.down()
    check(lab.daemon.wait() == 0 and wall.hits() == had, "the end went past the proxy")
    # No password and a wrong one; tinyproxy says 401 to the latter where others say 407, too.
    for login in ("", "carol:wrong-one@"):
        p = lab.up(played.config("app"), env=dict(lab.user_env, HTTPS_PROXY="http://%s%s:%d" % (login, LINK_C, proxy.port)), wait=False)
        p.wait_text(r"the proxy %s:%d answered 40[17] to CONNECT .*user and password" % (re.escape(LINK_C), proxy.port), 20)
        check("wrong-one" not in p.text + lab.tun("status", "--json").text, "the password is shown")
        lab.down()
        p.wait()
        check(wall.hits() == had, "refused by the proxy, it tried without")
    # NO_PROXY, by suffix: the names are alice's own business now.
    wall.fall()
    with open("/etc/hosts", "a") as f:
        f.write("\n%s %s %s\n" % (LINK_C, API, DATA))
    asked = len(proxy.carried())
    lab.up(played.config("app"), env=dict(env, NO_PROXY="other.test,.play.test"))
    hello(lab)()
    lab.down()
    check(lab.daemon.wait() == 0 and len(proxy.carried()) == asked, "NO_PROXY: the proxy carried %s" % proxy.carried()[asked:])
    os.unlink(ROOT + "/tmp/tinyproxy.conf")
