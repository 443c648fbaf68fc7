# SPDX-License-Identifier: MIT
"""AWS as it is played by tests/aws/play.py: what the other scenarios about AWS start from."""
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
