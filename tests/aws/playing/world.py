# SPDX-License-Identifier: MIT
"""Everything that a play knows: who may do what, what was issued to whom, what is to go wrong, what was asked.

Theory of operation: one World, one lock. Handlers of the services run in threads of the HTTP server and hold the lock while
they look or change; what waits (a scripted delay, a gateway behind us) waits outside of it. Time is now(): the machine's clock
plus an offset that a test may set, so that a "server whose clock is wrong" is wrong in all it says (Date, expirations, skew).
A credential that was issued is remembered with its end: the play refuses it from then on, as the service would.
Whatever grows has a bound: the journal keeps the last JOURNAL_MAX requests, credentials beyond ISSUED_MAX push the oldest out.
"""
import collections
import fnmatch
import secrets
import string
import threading
import time

JOURNAL_MAX = 10000
ISSUED_MAX = 20000
ACCOUNT = "123456789012"
LIFE_MAX_S = 43200
_ALPHABET = string.ascii_uppercase + "234567"


def key_id(prefix):
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(16))


class Credential:
    """A key pair that may sign. `token` None: a user's long-lived keys; `expires` in seconds of the play's clock, None: never."""

    def __init__(self, access_key, secret_key, arn, token=None, expires=None, source="user", mfa=False):
        self.access_key, self.secret_key, self.token, self.expires = access_key, secret_key, token, expires
        self.arn, self.source, self.mfa = arn, source, mfa
        self.account = arn.split(":")[4]
        self.user_id = access_key if token is None else "AROA%s:%s" % (access_key[4:], arn.rsplit("/", 1)[-1])


class Fault:
    """What the next requests of an operation meet; see control.py for its members."""

    FIELDS = {"operation": "*", "times": 1, "after": 0, "error": None, "message": None, "status": None, "delay_ms": 0,
              "cut": None, "body": None, "content_type": None, "headers": None}

    def __init__(self, spec):
        unknown = set(spec) - set(self.FIELDS)
        if unknown:
            raise ValueError("a fault has no %s" % ", ".join(sorted(unknown)))
        for name, value in self.FIELDS.items():
            setattr(self, name, spec.get(name, value))
        if self.cut not in (None, "before", "head", "body"):
            raise ValueError("cut: before, head or body")

    def take(self, operation):
        """Whether this request meets it; counts it."""
        if not fnmatch.fnmatchcase(operation, self.operation) or self.times == 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times > 0:  # below 0: for ever
            self.times -= 1
        return True


class World:
    """`fill`: puts into a new world what is there at the start, the lock held."""

    def __init__(self, fill):
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.stopping = threading.Event()
        self.fill = fill
        self.journal = collections.deque(maxlen=JOURNAL_MAX)
        self.serial = 0            # of the newest request
        self.reset()

    def reset(self):
        self.offset_s = 0.0
        self.skew_max_s = 300
        self.regions = []          # patterns of the regions that exist; empty: any
        self.life_s = {}           # source or "*": seconds that what is issued lives, whatever was asked
        self.deny = []             # patterns "service:Operation" that the identity may not do
        self.credentials = collections.OrderedDict()
        self.faults = []
        self.journal.clear()       # but its serials go on
        self.roles = {}            # arn -> dict, see sts.py
        self.mfa = {}              # serial number -> list of codes that are good
        self.web_tokens = {}       # web identity token -> dict(subject, provider, expires)
        self.zones = []            # Route 53's private zones
        self.kms_keys = {}
        self.connect = {}          # EC2 Instance Connect, see small.py
        self.containers = {}       # see metadata.py, as imds
        self.sso = self.ec2 = self.ssm = self.imds = None  # set by fill
        self.fill(self)

    def now(self):
        return time.time() + self.offset_s

    # ---- credentials; the lock is held

    def user_add(self, arn, access_key=None, secret_key=None):
        c = Credential(access_key or key_id("AKIA"), secret_key or secrets.token_urlsafe(30), arn)
        self.credentials[c.access_key] = c
        return c

    def life(self, source, asked):
        return self.life_s.get(source, self.life_s.get("*", asked))

    def issue(self, source, arn, asked_s, mfa=False):
        """Temporary credentials that live as long as was asked, or as the script says."""
        c = Credential(key_id("ASIA"), secrets.token_urlsafe(30), arn, "IQoJ" + secrets.token_urlsafe(300),
                       self.now() + self.life(source, asked_s), source, mfa)
        self.credentials[c.access_key] = c
        while len(self.credentials) > ISSUED_MAX:
            old = next(k for k, v in self.credentials.items() if v.token)
            del self.credentials[old]
        return c

    def expire(self, source="*"):
        """Whatever was issued by that source ends now. Returns how many."""
        n = 0
        for c in self.credentials.values():
            if c.token and fnmatch.fnmatchcase(c.source, source) and c.expires > self.now():
                c.expires = self.now()
                n += 1
        return n

    def secrets(self):
        """All that must appear in no log: for a test that looks for it."""
        found = [c.secret_key for c in self.credentials.values()] + [c.token for c in self.credentials.values() if c.token]
        found += list(self.web_tokens)
        found += self.sso.secrets()
        found += [c["token"] for c in self.containers.values() if c.get("token")]
        return found

    # ---- what goes wrong

    def fault_for(self, operation):
        with self.lock:
            for fault in self.faults:
                if fault.take(operation):
                    return fault
        return None

    # ---- what was asked

    def note(self, row):
        with self.lock:
            self.serial += 1
            row["serial"] = self.serial
            self.journal.append(row)
            self.changed.notify_all()

    def rows(self, operation="*", since=0):
        return [r for r in self.journal if r["serial"] > since and fnmatch.fnmatchcase(r["operation"], operation)]

    def wait(self, operation, n, since, timeout_s):
        """Waits until n requests of the operation were answered. Returns how many there were."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.rows(operation, since)) >= n, timeout_s)
            return len(self.rows(operation, since))
