# SPDX-License-Identifier: MIT
"""Credentials that end while flows go on, and a login that comes late."""
import os
import threading
import time

from lab import ROOT, V4, check, connect, recv_exactly
from netns import wait_until
from played import role, start
from scenarios import scenario
from scenarios.faults import open_echo
from scenarios.resume import Before, Cable, Transfer, resumed, session_rows

RATE = 200 * 1000  # bytes a second that the flows move meanwhile


# ---- credentials that end

def cut(lab, cable):
    """The WebSocket is cut once; returns when the session is resumed."""
    had = len(resumed(lab))
    cable.out()
    wait_until(lambda: session_rows(lab)[0]["state"] == "resuming", 10, "the cut is noticed")
    cable.plug()
    wait_until(lambda: len(resumed(lab)) > had, 20, "the session is resumed")


def cuts_with_ends(lab, played, operation, gap, n):
    """Flows move while the WebSocket is cut every `gap` seconds, which is as long as credentials live: nothing is reset."""
    port = lab.start_flowgen(port=7000 + n)
    before, cable, since = Before(lab, port), Cable(lab), played.play.serial()
    flows = [Transfer(lab, port, d, RATE * gap * (n + 1), RATE) for d in ("--up", "--down")]
    t = time.monotonic()
    for i in range(n):
        time.sleep(max(0.0, t + gap * (i + 1) - time.monotonic()))  # the lives of the credentials are the point
        cut(lab, cable)
    for f in flows:
        f.finish(gap * 3 + 60)
    before.check()
    rows = [r for r in played.play.rows("ResumeSession", since) if r["status"] == 200]
    keys = len({r["access_key"] for r in rows})
    check(len(rows) >= n and keys >= n - 1, "%d ResumeSessions with %d keys for %d cuts" % (len(rows), keys, n))
    ended = [r for r in played.play.rows("*Session", since) if r["error"]]
    check(not ended, "keys were used to their very end: %s" % [(r["operation"], r["error"]) for r in ended])
    lab.note("%s: %d cuts, %d keys, pauses up to %d ms" % (operation, n, keys, max(resumed(lab))))
    return cable, port


@scenario("aws-expiring", seconds=55)
def aws_expiring(lab):
    """Keys of a role, then of a container, that end as often as the WebSocket is cut: all flows go on, no key is used after its end."""
    gap, n = (60, 10) if lab.long else (3, 8)
    played = start(lab)
    played.profiles({"profile app": {"role_arn": role("app"), "source_profile": "base", "role_session_name": "e2e"},
                     "profile base": {}, "profile bare": {}}, {"base": played.keys()})
    played.do("role", arn=role("app"))
    played.do("set", life_s={"*": gap})
    lab.up(played.config("app"))
    cable, port = cuts_with_ends(lab, played, "AssumeRole", gap, n)
    # Ended before their time, as when an administrator revokes sessions: the service says so, the chain is asked again.
    played.do("set", life_s={"*": 3600})
    time.sleep(gap)  # the keys at hand still are of the short life
    flow = Transfer(lab, port, "--up", RATE * 8, RATE)
    cut(lab, cable)
    since = played.play.serial()
    check(played.do("expire", source="AssumeRole")["expired"] > 0, "there was nothing to revoke")
    cut(lab, cable)
    said = [(r["operation"], r["error"]) for r in played.play.rows(since=since) if r["service"] in ("ssm", "sts")]
    check(said[:3] == [("ResumeSession", "ExpiredTokenException"), ("AssumeRole", None), ("ResumeSession", None)], "after it: %s" % said)
    flow.finish()
    lab.down()
    lab.daemon.wait()
    # The same with a container's endpoint, whose token is in a file.
    played.do("set", life_s={"*": gap})
    played.do("container", path="/v2/credentials/e2e", token="Bearer from-the-file")
    token = lab.write(ROOT + "/tmp/container-token", "Bearer from-the-file")
    env = dict(lab.user_env, AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:%d/v2/credentials/e2e" % played.play.container,
               AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=token)
    lab.up(played.config("bare"), env=env)
    cuts_with_ends(lab, played, "container", gap, n // 2)


# ---- a login that comes late

LINE = "aws sso login --profile sso"


def wait_for_login(lab, timeout=20):
    """Until `status` says what is waited for and the line to run."""
    def look():
        text = lab.tun("status").text
        return "waiting for login" in text and LINE in text
    wait_until(look, timeout, "status says `waiting for login` and `%s`: %s" % (LINE, lab.tun("status").text[-400:]))


def cli_login(lab, played):
    """Somebody logs in with the AWS CLI and approves at once; returns when the cache was last written (Unix time)."""
    played.cli("sso", "login", "--profile", "sso", "--no-browser", timeout=60)
    return os.stat(played.token_file()).st_mtime


def back_after(played, since, written):
    """Seconds between the write of the token and the next good call of SSM."""
    played.wait_rows("GetRoleCredentials", 1, since, 20)
    ok = wait_until(lambda: [r for r in played.play.rows("*Session", since) if r["status"] == 200], 20, "a session")
    return ok[0]["at"] - written


class Waiter:
    """A connection to V that is opened now, by a thread: it may take as long as the login."""

    def __init__(self, port, timeout):
        self.said = None
        self.thread = threading.Thread(target=self.run, args=(port, timeout), daemon=True)
        self.thread.start()

    def run(self, port, timeout):
        try:
            with connect(V4, port, timeout) as s:
                self.said = recv_exactly(s, 5)
        except Exception as e:  # noqa: B902: told to the scenario
            self.said = e


@scenario("aws-login-late", seconds=18)
def aws_login_late(lab):
    """SSO without a token: `up` on a terminal waits and says the line to run; after a later end old and new flows wait, too, and go on."""
    late = 100 if lab.long else 8
    played = start(lab, real=True)
    played.profiles(played.sso_profile())
    played.do("set", sso={"auto_approve": True, "interval_s": 1})
    path = lab.write_config(played.config("sso"))
    lab.daemon, _ = lab.spawn_on_terminal("up", ["ssm-tun", "up", "-c", path], env=lab.user_env)
    lab.daemon.wait_text(LINE, 20)
    wait_for_login(lab)
    since = played.play.serial()
    took = [back_after(played, since, cli_login(lab, played))]
    lab.daemon.wait_text(r"\bup: 1 of 1 upstreams", 10)
    port, echo_port = lab.serve(lambda s: s.sendall(b"hello")), lab.start_flowgen()
    cable, old = Cable(lab), open_echo(lab, echo_port)
    for wait_s in (late, 1, 1):
        played.do("sso_revoke")
        played.do("expire", source="GetRoleCredentials")
        cable.out()
        old.sendall(b"x")
        wait_until(lambda: session_rows(lab)[0]["state"] != "ready", 10, "the cut is noticed")
        cable.plug()
        wait_for_login(lab)
        waiter = Waiter(port, late + 30)
        time.sleep(wait_s)  # the lateness of the login is the point
        check(waiter.said is None, "a new flow did not wait: %r" % waiter.said)
        since = played.play.serial()
        took.append(back_after(played, since, cli_login(lab, played)))
        waiter.thread.join(20)
        check(waiter.said == b"hello", "a new flow got %r after the login" % waiter.said)
        old.settimeout(20)
        check(recv_exactly(old, 1) == b"x", "the old flow lost a byte")
    check(max(took) < 1.5, "noticed only after %s s: polled, not watched" % ["%.2f" % t for t in took])
    lab.note("on again %.2f s after the token was written at most" % max(took))
