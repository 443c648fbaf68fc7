# SPDX-License-Identifier: MIT
"""AWS as it is played by tests/aws/play.py: what the other scenarios about AWS start from."""
import re

from lab import V4, check, connect, recv_exactly
from played import REGION, start
from scenarios import scenario


def hello(lab):
    """A server in V that says hello; returns a function that connects through the tunnel and is told so."""
    port = lab.serve(lambda s: s.sendall(b"hello"))

    def once():
        with connect(V4, port) as s:
            check(recv_exactly(s, 5) == b"hello", "no hello")
    return once


@scenario("aws-static")
def aws_static(lab):
    """Keys of a profile, checked by an independent signer; the session that they start carries data."""
    played = start(lab)
    played.profiles({"profile work": {}}, {"work": played.keys()})
    lab.up(played.config("work"))
    hello(lab)()
    rows = played.play.rows("StartSession")
    check([r["status"] for r in rows] == [200] and rows[0]["region"] == REGION, "StartSession: %s" % rows)
    lab.down()
    check(played.play.rows("TerminateSession"), "the session was not terminated through the play")


def aged(lab, config, seconds_ahead, play):
    """`up` works against a service whose clock is so far ahead of ours; returns what it logged."""
    play.do("set", offset_s=seconds_ahead)
    lab.up(config, "-v")
    hello(lab)()
    lab.down()
    check(lab.daemon.wait() == 0, "up ended with %s" % lab.daemon.popen.returncode)
    return lab.daemon.text


@scenario("aws-skew")
def aws_skew(lab):
    """A clock that is an hour off costs one refused call: the service's own clock is taken from its Date, and the user is told."""
    played = start(lab)
    played.profiles({"profile work": {}}, {"work": played.keys()})
    config = played.config("work")
    for offset in (3600, -3600):
        since = played.play.serial()
        text = aged(lab, config, offset, played)
        rows = played.play.rows("StartSession", since)
        check([r["error"] for r in rows] == ["InvalidSignatureException", None], "StartSession: %s" % [r["error"] for r in rows])
        check(re.search(r"clock", text), "nothing is said of the clock: %s" % text[-600:])
        ends = played.play.rows("TerminateSession", since)
        check(ends and not [r["error"] for r in ends if r["error"]], "the skew was forgotten: %s" % [r["error"] for r in ends])
