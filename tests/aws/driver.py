# SPDX-License-Identifier: MIT
"""Starts tests/aws/play.py and speaks to its control interface, for tests in Python."""
import http.client
import json
import os
import subprocess

PLAY = os.path.join(os.path.dirname(os.path.realpath(__file__)), "play.py")


class PlayError(Exception):
    """The control interface did not like what it was asked."""


class Play:
    """A running play. Its ready line's members are attributes: url, ca, https, imds, container, control, access_key, secret_key."""

    def __init__(self, *argv, stderr=None, env=None):
        self.process = subprocess.Popen(["/usr/bin/python3", PLAY, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                                        env=env)
        line = self.process.stdout.readline()
        if not line:
            raise PlayError("the play ended with status %s" % self.process.wait())
        self.ready = json.loads(line)

    def __getattr__(self, name):
        try:
            return self.__dict__["ready"][name]
        except KeyError:
            raise AttributeError(name) from None

    def do(self, verb, timeout=60, **arguments):
        control = http.client.HTTPConnection("127.0.0.1", self.control, timeout=timeout)
        try:
            control.request("POST", "/_play", json.dumps({"do": verb, **arguments}))
            answer = control.getresponse()
            got = json.loads(answer.read())
        finally:
            control.close()
        if answer.status != 200:
            raise PlayError(got["error"])
        return got

    def rows(self, operation="*", since=0):
        return self.do("journal", operation=operation, since=since)["rows"]

    def count(self, operation="*", since=0):
        return self.do("count", operation=operation, since=since)["count"]

    def serial(self):
        return self.do("count")["serial"]

    def wait(self, operation, n=1, since=0, timeout_s=30):
        """How many requests of the operation there are after `since`: at least n, unless the time was over."""
        return self.do("wait", timeout=timeout_s + 10, operation=operation, n=n, since=since, timeout_s=timeout_s)["count"]

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
