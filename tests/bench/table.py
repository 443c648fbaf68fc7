# SPDX-License-Identifier: MIT
"""The figures of all runs, their medians as a Markdown table, and the goals that have been named."""
import statistics

# Order of the rows, and units. A figure that nothing has measured has no row.
UNITS = [
    ("start to first byte", "s"), ("start to StartSession", "ms"), ("CPU until StartSession", "ms"), ("longest loop turn of a start", "ms"),
    ("one flow up", "MB/s"), ("one flow down", "MB/s"), ("8 flows up", "MB/s"), ("8 flows down", "MB/s"),
    ("connections one by one", "1/s"), ("connections 50 at once", "1/s"),
    ("echo p50 idle", "ms"), ("echo p99 idle", "ms"),
    *[("%s %s copy %s" % (p, rate, way), unit) for rate in ("full", "half") for way in ("up", "down")
      for p, unit in (("rate of the", "MB/s"), ("echo p50", "ms"), ("echo p99", "ms"))],
    ("CPU up", "ms/MB"), ("CPU down", "ms/MB"),
    *[("CPU of the %s %s" % (who, way), "ms/MB") for who in ("gateway", "agent", "sshd") for way in ("up", "down")],
    ("wire up", "B/B"), ("wire down", "B/B"),
    ("RssAnon idle", "MiB"), ("RSS idle", "MiB"), ("RssAnon at the end", "MiB"), ("RSS at the end", "MiB"),
    ("RssAnon a flow", "KiB"), ("RSS a flow", "KiB"),
    ("idle loop turns", "1/s"), ("idle context switches", "1/s"),
    ("look-up", "ms"), *[("connect by name, " + of, "ms") for of in ("IPv4 alone", "IPv6 alone", "both", "silent IPv6", "silent IPv4")],
    ("check", "ms"), ("longest loop turn", "ms"), ("binary", "MiB"),
]


class Figures:
    def __init__(self):
        self.columns, self.values = [], {}

    def add(self, column, figures):
        if column not in self.columns:
            self.columns.append(column)
        for name, value in figures.items():
            self.values.setdefault(name, {}).setdefault(column, []).append(value)

    def median(self, name, column):
        found = self.values.get(name, {}).get(column)
        return statistics.median(found) if found else None

    def ratio(self, name, base, column):
        """The median of the ratios of two figures of the same run."""
        pairs = zip(self.values.get(name, {}).get(column, []), self.values.get(base, {}).get(column, []))
        found = [a / b for a, b in pairs]
        return statistics.median(found) if found else None

    def plain(self):
        return {name: {"unit": unit, "values": self.values[name],
                       "medians": {c: self.median(name, c) for c in self.values[name]}}
                for name, unit in UNITS if name in self.values}

    @classmethod
    def from_plain(cls, plain, columns):
        made = cls()
        made.columns = columns
        made.values = {name: row["values"] for name, row in plain.items()}
        return made


def number(v):
    if v is None:
        return "-"
    return "%.0f" % v if v >= 100 else "%.3g" % v if v >= 0.01 or v == 0 else "%.4f" % v


def markdown(figures):
    rows = [["figure", "unit", *figures.columns]]
    rows += [[name, unit, *(number(figures.median(name, c)) for c in figures.columns)]
             for name, unit in UNITS if name in figures.values]
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))) + " |"
             for r in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 1) + (":" if i >= 2 else "-") for i, w in enumerate(widths)) + "|")
    return "\n".join(lines)


def goal(text, value, limit, at_least, unit):
    if value is None or limit is None:
        return "%s: not measured" % text
    met = value >= limit if at_least else value <= limit
    return "%s: %s, goal %s %s %s: %s" % (text, number(value), "at least" if at_least else "at most", number(limit), unit,
                                          "met" if met else "MISSED")


def goals(f):
    """One line for each figure of which a goal has been named."""
    lines = []
    for way in ("up", "down"):
        name = "one flow " + way
        lines.append(goal(name + ", payloads of 64 KiB", f.median(name, "ssm-tun"), 40, True, "MB/s"))
        lines.append(goal(name + " beside sshuttle", f.median(name, "ssm-tun"), f.median(name, "sshuttle"), True, "MB/s"))
    for way in ("up", "down"):
        lines.append(goal("CPU %s, payloads of 1 KiB" % way, f.median("CPU " + way, "ssm-tun 1 KiB"), 16, False, "ms/MB"))
    for column in ("ssm-tun", "ssm-tun 1 KiB"):
        for way in ("up", "down"):
            r = f.ratio("echo p99 half copy " + way, "echo p99 idle", column)
            lines.append(goal("p99 of the echo beside half a copy %s, %s" % (way, column), r, 10, False, "times idle"))
    lines.append(goal("start to StartSession, keys in the configuration", f.median("start to StartSession", "ssm-tun"), 50, False, "ms"))
    lines.append(goal("check", f.median("check", "ssm-tun"), 15, False, "ms"))
    for of in ("IPv4 alone", "IPv6 alone", "silent IPv6", "silent IPv4"):
        name = "connect by name, " + of
        lines.append(goal(name, max(f.values.get(name, {}).get("ssm-tun", []), default=None), 1000, False, "ms, the slowest"))
    lines.append(goal("RssAnon idle", f.median("RssAnon idle", "ssm-tun"), 8, False, "MiB"))
    return lines
