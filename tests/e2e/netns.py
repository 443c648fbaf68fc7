# SPDX-License-Identifier: MIT
"""Network namespaces, sockets inside them, and a picture of what a namespace holds.

A network namespace belongs to a thread: a socket keeps the one that its maker was in. So a server for the far
side is a socket made by a short-lived thread that entered it, and is then served from anywhere.
"""
import ctypes
import ctypes.util
import glob
import json
import os
import re
import socket
import stat
import subprocess
import threading
import time

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)


def die_with_parent():
    """For preexec_fn: the child is killed when the thread that started it ends."""
    libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)


def enter(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(fd, CLONE_NEWNET) < 0:
            raise OSError(ctypes.get_errno(), "setns " + path)
    finally:
        os.close(fd)


def call_in(path, fn, *args, **kwargs):
    """Runs fn in a thread of its own inside the namespace, and hands back its result or its exception."""
    box = {}

    def body():
        try:
            enter(path)
            box["result"] = fn(*args, **kwargs)
        except BaseException as e:  # noqa: B036: handed to the caller
            box["error"] = e

    t = threading.Thread(target=body, daemon=True)
    t.start()
    t.join()
    if "error" in box:
        raise box["error"]
    return box["result"]


def listener(address, port=0, backlog=4096):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    s.listen(backlog)
    return s


def wait_until(fn, timeout, what):
    """Asks fn until it says something true, and returns that."""
    end = time.monotonic() + timeout
    pause = 0.002
    while True:
        got = fn()
        if got:
            return got
        if time.monotonic() > end:
            raise TimeoutError("%s: not within %.1f s" % (what, timeout))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def ip_json(*args):
    out = subprocess.run(("ip", "-j") + args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    try:
        return json.loads(out or b"[]")
    except ValueError:
        return out.decode(errors="replace")


def net_picture():
    """Everything that our program could leave in this network namespace, as comparable text lines."""
    lines = []
    for row in ip_json("addr"):
        for key in ("link_index", "group", "ifindex"):
            row.pop(key, None)
        lines.append("link " + json.dumps(row, sort_keys=True))
    for family in ("-4", "-6"):
        for row in ip_json(family, "route", "show", "table", "all"):
            row.pop("expires", None)
            lines.append("route%s %s" % (family, json.dumps(row, sort_keys=True)))
        for row in ip_json(family, "rule"):
            lines.append("rule%s %s" % (family, json.dumps(row, sort_keys=True)))
    return sorted(lines)


SYSCTLS = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/*/rp_filter", "net/ipv4/conf/*/src_valid_mark")


def host_picture():
    """What else of the host our program may change, and must put back: nftables, sysctls, resolv.conf (what it is and says)."""
    rules = subprocess.run(["nft", "list", "ruleset"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    lines, table = [], ""
    for line in re.sub(r"packets \d+ bytes \d+", "", rules.decode(errors="replace")).splitlines():
        table = line.rstrip(" {") if line.startswith("table") else table
        if line.strip():
            lines.append("nft %s: %s" % (table, line.strip()))
    for pattern in SYSCTLS:
        for path in sorted(glob.glob("/proc/sys/" + pattern)):
            with open(path) as f:
                lines.append("sysctl %s = %s" % (path[len("/proc/sys/"):], f.read().strip()))
    return lines + resolv_conf()


def resolv_conf(path="/etc/resolv.conf"):
    """The file's kind, mode and lines; a link with what it points to."""
    try:
        st = os.lstat(path)
        kind = "link to " + os.readlink(path) if stat.S_ISLNK(st.st_mode) else "%s %o %d:%d" % (
            "file" if stat.S_ISREG(st.st_mode) else "other", st.st_mode & 0o7777, st.st_uid, st.st_gid)
        with open(path, errors="replace") as f:
            return ["resolv.conf is " + kind] + ["resolv.conf says " + line for line in f.read().splitlines()]
    except OSError as e:
        return ["resolv.conf: " + os.strerror(e.errno)]


def listening_sockets():
    """Listening TCP and bound unix sockets of this network namespace."""
    lines = []
    for name in ("tcp", "tcp6"):
        with open("/proc/thread-self/net/" + name) as f:
            for line in f.readlines()[1:]:
                w = line.split()
                if w[3] == "0A":
                    lines.append("%s %s" % (name, w[1]))
    with open("/proc/thread-self/net/unix") as f:
        for line in f.readlines()[1:]:
            w = line.split()
            if len(w) > 7:
                lines.append("unix " + w[7])
    return sorted(lines)


def processes(name="ssm-tun"):
    """Living processes of this program in this pid namespace: {pid: what it calls itself}. Zombies are not living."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            exe = os.path.basename(os.readlink("/proc/%s/exe" % pid)).removesuffix(" (deleted)")
            with open("/proc/%s/stat" % pid) as f:
                stat = f.read()
        except OSError:  # ended meanwhile; a zombie has no exe
            continue
        if exe == name and stat[stat.rindex(")") + 2] != "Z":
            found[int(pid)] = stat[stat.index("(") + 1:stat.rindex(")")]
    return found


def status_kb(pid, key):
    """A kB figure of /proc/PID/status: RssAnon, VmRSS."""
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    raise KeyError(key)
