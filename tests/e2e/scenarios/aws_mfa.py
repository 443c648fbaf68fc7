# SPDX-License-Identifier: MIT
"""The question for an MFA code at the terminal of `up`: wrong codes, Ctrl-C, -d, --no-wait. What a code gives: see aws_login."""
import os

from lab import check
from played import role, start
from scenarios import scenario
from scenarios.aws_login import MFA, hello

PROMPT = "Enter MFA code for " + MFA


def asked(lab, name, argv):
    """`up` on a terminal, until it asks."""
    p, keyboard = lab.spawn_on_terminal(name, argv, env=lab.user_env)
    p.wait_text(PROMPT, 20)
    return p, keyboard


@scenario("aws-mfa-terminal")
def aws_mfa_terminal(lab):
    """Ctrl-C at the question ends `up`, a wrong code is asked for again, -d asks before it lets the starter go, --no-wait does not ask."""
    played = start(lab)
    played.profiles({"profile m": {"role_arn": role("mfa"), "source_profile": "base", "mfa_serial": MFA}, "profile base": {}},
                    {"base": played.keys()})
    played.do("role", arn=role("mfa"), mfa=True)
    played.do("set", mfa={MFA: ["135791"]})
    up = ["ssm-tun", "up", "-c", lab.write_config(played.config("m"))]
    before = lab.picture()

    p, keyboard = asked(lab, "ctrl-c", up)
    os.write(keyboard, b"\x03")
    check(p.wait() == 1, "Ctrl-C at the question: exit status %s" % p.popen.returncode)
    lab.expect_clean(before, 1.5)

    p, _ = lab.spawn_on_terminal("no-wait", up + ["--no-wait"], env=lab.user_env)
    check(p.wait(20) == 1, "--no-wait: exit status %s" % p.popen.returncode)
    check("ssm-tun login m" in p.text and PROMPT not in p.text, "--no-wait: %s" % p.text[-500:])
    lab.expect_clean(before, 1.5)

    p, keyboard = asked(lab, "detached", up + ["-d"])
    os.write(keyboard, b"999999\n")
    p.wait_text("MultiFactorAuthentication failed with invalid MFA one time pass code. " + PROMPT, 20)
    os.write(keyboard, b"135791\n")
    check(p.wait(30) == 0, "-d: exit status %s: %s" % (p.popen.returncode, p.text[-500:]))
    check("999999" not in p.text and "135791" not in p.text, "a code is on the screen")
    hello(lab)()
    lab.down()
    lab.expect_clean(before, 1.5)
