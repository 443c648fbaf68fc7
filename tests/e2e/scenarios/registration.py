# SPDX-License-Identifier: MIT
"""The registration protocol, shown by the program of that name beside `run`."""
import os

from lab import Skip, check
from scenarios import scenario

PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "registration")


@scenario("registration", seconds=62)
def registration(lab):
    """Agents' registration over both transports: right and wrong signatures, replays, silence, garbage, back-off."""
    if not os.path.exists(PROGRAM):
        raise Skip("there is no " + PROGRAM)
    argv = [PROGRAM, "--build", lab.build] + (["--long"] if lab.long else [])
    p = lab.spawn("registration", argv)
    status = p.wait(3000 if lab.long else 200)
    with open(p.log_path, errors="replace") as log:
        failed = [line.strip() for line in log if line.startswith("FAIL")]
    check(status == 0, "; ".join(failed) or "status %d" % status)
