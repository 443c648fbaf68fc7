# SPDX-License-Identifier: MIT
"""The scenarios: functions that take a Lab, by name. One module a subject."""
import importlib

_all = {}
_modules = ("laboratory", "traffic", "endings", "rules", "faults", "resume", "startup", "keys", "connect", "cleanup", "caller", "text", "idle", "registration",
            "awscli", "aws", "aws_vpc", "aws_expiring", "aws_login", "aws_mfa", "aws_secrets", "aws_keys", "aws_errors", "aws_proxy",
            "names", "names_kill", "names_load", "system_mode", "bridge", "policy")


class Scenario:
    def __init__(self, name, about, alone, seconds, run):
        self.name, self.about, self.alone, self.seconds, self.run = name, about, alone, seconds, run


def scenario(name, alone=False, seconds=5):
    """Marks a function as the scenario of that name.

    `alone`: it measures, so nothing else runs beside it. `seconds`: about how long it takes if that is much longer than most; of
    those that may run beside others, the longest begin first.
    """
    def mark(fn):
        _all[name] = Scenario(name, (fn.__doc__ or "").strip().splitlines()[0], alone, seconds, fn)
        return fn
    return mark


def in_order(scenarios):
    """The order of a run: those that run beside others, the longest first, then the lonely ones."""
    return sorted(scenarios, key=lambda s: (s.alone, -s.seconds if not s.alone else 0))


def load():
    for m in _modules:
        importlib.import_module("scenarios." + m)
    return _all
