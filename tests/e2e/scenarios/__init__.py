# SPDX-License-Identifier: MIT
"""The scenarios: functions that take a Lab, by name. One module a subject; the order here is the order of a run."""
import importlib

_all = {}
_modules = ("laboratory", "traffic", "endings", "rules", "faults", "resume", "startup", "keys", "connect", "cleanup", "caller", "text", "idle", "registration",
            "awscli", "aws", "aws_vpc", "aws_expiring", "aws_login", "aws_mfa", "aws_secrets", "aws_keys", "aws_errors", "aws_proxy")


class Scenario:
    def __init__(self, name, about, alone, run):
        self.name, self.about, self.alone, self.run = name, about, alone, run


def scenario(name, alone=False):
    """Marks a function as the scenario of that name; `alone`: it measures, so nothing else runs beside it."""
    def mark(fn):
        _all[name] = Scenario(name, (fn.__doc__ or "").strip().splitlines()[0], alone, fn)
        return fn
    return mark


def load():
    for m in _modules:
        importlib.import_module("scenarios." + m)
    return _all
