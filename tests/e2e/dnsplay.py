#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A DNS server to be played with: answers by a table, and misbehaves by it; UDP and TCP (pipelined), the standard library only.

    tests/e2e/dnsplay.py TABLE.json --listen ADDRESS:PORT… [--log FILE] [--serial] [--forge-from ADDRESS]

Prints "ready ADDRESS:PORT …" (port 0 is one that is free, the same for UDP and TCP), then serves until SIGTERM. The table is read again
whenever the file has changed. It is an object of names ("db.prod.internal", "*.prod.internal", "*"), the longest match counts:

    "A": ["10.0.0.5"], "AAAA": [...], "TXT": ["text"], "PTR": ["name"], "NS": ["name"], "CNAME": "name",
    "MX": [[10, "name"]], "SRV": [[priority, weight, port, "name"]], "HTTPS": [[1, "name or .", {"alpn": ["h2"], "port": 443, "ipv4hint": ["…"]}]]
    "ttl": 60                seconds, of all of the name's records
    "neg_ttl": 30            of NXDOMAIN and NODATA (the SOA's)
    "rcode": "SERVFAIL"      this in place of records: a name of the codes below or a number
    "delay_ms": 10000        before the answer
    "silent": true           no answer at all; "udp", "tcp": none over that
    "tc": true               over UDP only a cut answer; so are those that do not fit
    "drop": 2                the first 2 queries of the name get no answer
    "close": true            over TCP the connection is closed in place of the answer
    "frame": 0               over TCP an empty frame comes before the answer; "garbage": 40 bytes that are no message
    "forge": true            over UDP forged answers come first: the right id from another port (and --forge-from's address), wrong ids,
                             another question. All of them say 6.6.6.6; "forge_gap_ms": 50 until the true one

A name that is not there is NXDOMAIN, a type that it has not is NODATA. CNAMEs are followed inside the table. --serial: over TCP one query
of a connection at a time. The log has one JSON object a query: {"t": seconds, "via": "udp" or "tcp", "from": "address:port", "conn": n, "id":,
"name":, "type":, "edns": size or null, "rd": true}; garbage is {"garbage": bytes}. With no --log nothing is logged.
"""
import argparse
import asyncio
import ipaddress
import json
import os
import random
import signal
import socket
import struct
import sys
import time

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "OPT": 41, "HTTPS": 65}
TYPE_NAMES = {v: k for k, v in TYPES.items()}
RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}
FORGED = "6.6.6.6"
UDP_DEFAULT = 512
EDNS_SIZE = 1232  # what we announce


class Garbage(Exception):
    pass


# --- the wire

def name_bytes(name):
    out = b""
    for label in name.rstrip(".").split("."):
        raw = label.encode("ascii")
        if raw:
            out += bytes([len(raw)]) + raw
    return out + b"\0"


def name_read(msg, at):
    labels, jumps, end = [], 0, None
    while True:
        if at >= len(msg):
            raise Garbage("a name ends too early")
        n = msg[at]
        if n & 0xC0 == 0xC0:
            if at + 2 > len(msg) or jumps > 40:
                raise Garbage("a bad pointer")
            end = end if end is not None else at + 2
            at, jumps = (n & 0x3F) << 8 | msg[at + 1], jumps + 1
            continue
        if n == 0:
            return ".".join(labels), end if end is not None else at + 1
        if n > 63 or at + 1 + n > len(msg):
            raise Garbage("a bad label")
        labels.append(msg[at + 1:at + 1 + n].decode("latin-1"))
        at += 1 + n


class Query:
    def __init__(self, msg):
        if len(msg) < 12:
            raise Garbage("no header")
        self.id, self.flags, questions, answers, authority, more = struct.unpack("!6H", msg[:12])
        if self.flags & 0x8000 or questions != 1 or answers or authority:
            raise Garbage("no query")
        self.name, at = name_read(msg, 12)
        if at + 4 > len(msg):
            raise Garbage("no question")
        self.type, self.cls = struct.unpack("!HH", msg[at:at + 4])
        self.question = msg[12:at + 4]
        self.edns = None
        at += 4
        for _ in range(more):
            _, at = name_read(msg, at)
            if at + 10 > len(msg):
                raise Garbage("a record ends too early")
            kind, size, _, length = struct.unpack("!HHIH", msg[at:at + 10])
            at += 10 + length
            if kind == TYPES["OPT"]:
                self.edns = size


def svc_params(params):
    out = []
    if "alpn" in params:
        out.append((1, b"".join(bytes([len(a)]) + a.encode() for a in params["alpn"])))
    if "port" in params:
        out.append((3, struct.pack("!H", params["port"])))
    if "ipv4hint" in params:
        out.append((4, b"".join(ipaddress.IPv4Address(a).packed for a in params["ipv4hint"])))
    if "ipv6hint" in params:
        out.append((6, b"".join(ipaddress.IPv6Address(a).packed for a in params["ipv6hint"])))
    return b"".join(struct.pack("!HH", k, len(v)) + v for k, v in out)


def text_data(v):
    raw = v.encode()
    return b"".join(bytes([len(raw[i:i + 255])]) + raw[i:i + 255] for i in range(0, max(1, len(raw)), 255))


# How an entry of the table becomes the data of a record.
DATA = {
    "A": lambda v: ipaddress.IPv4Address(v).packed,
    "AAAA": lambda v: ipaddress.IPv6Address(v).packed,
    "NS": name_bytes,
    "PTR": name_bytes,
    "CNAME": name_bytes,
    "TXT": text_data,
    "MX": lambda v: struct.pack("!H", v[0]) + name_bytes(v[1]),
    "SRV": lambda v: struct.pack("!3H", v[0], v[1], v[2]) + name_bytes(v[3]),
    "HTTPS": lambda v: struct.pack("!H", v[0]) + name_bytes(v[1]) + svc_params(v[2] if len(v) > 2 else {}),
}


def record(name, kind, ttl, data):
    return name_bytes(name) + struct.pack("!HHIH", TYPES[kind], 1, ttl, len(data)) + data


def soa(name, ttl):
    zone = name.split(".", 1)[-1]
    data = name_bytes("ns." + zone) + name_bytes("admin." + zone) + struct.pack("!5I", 1, 3600, 600, 86400, ttl)
    return record(zone, "SOA", ttl, data)


def message(query, rcode=0, answers=(), authority=(), cut=False):
    flags = 0x8400 | (query.flags & 0x0100) | 0x0080 | (0x0200 if cut else 0) | (rcode & 15)
    opt = b"\0" + struct.pack("!HHIH", TYPES["OPT"], EDNS_SIZE, (rcode >> 4) << 24, 0) if query.edns is not None else b""
    return (struct.pack("!6H", query.id, flags, 1, len(answers), len(authority), 1 if opt else 0) + query.question +
            b"".join(answers) + b"".join(authority) + opt)


# --- the table

class Table:
    def __init__(self, path):
        self.path, self.stamp, self.names, self.seen = path, None, {}, {}
        self.load()

    def load(self):
        stat = os.stat(self.path)
        if (stat.st_mtime_ns, stat.st_ino) == self.stamp:
            return
        with open(self.path, encoding="utf-8") as f:
            names = json.load(f)
        self.names = {k.lower().rstrip("."): v for k, v in names.items()}
        self.stamp = (stat.st_mtime_ns, stat.st_ino)

    def entry(self, name):
        name = name.lower()
        if name in self.names:
            return self.names[name]
        parts = name.split(".")
        for i in range(1, len(parts) + 1):
            key = ".".join(["*"] + parts[i:])
            if key in self.names:
                return self.names[key]
        return None

    def query(self, name):
        """What counts for a query of that name, the file read again if it has changed"""
        try:
            self.load()
        except (OSError, ValueError) as e:  # a file that is being written: what we have goes on
            print("dnsplay: %s: %s" % (self.path, e), file=sys.stderr, flush=True)
        name = name.lower()
        self.seen[name] = self.seen.get(name, 0) + 1
        return self.entry(name), self.seen[name]

    def answer(self, query):
        name, answers = query.name, []
        kind = TYPE_NAMES.get(query.type, "")
        for _ in range(16):
            e = self.entry(name)
            if e is None:
                return message(query, RCODES["NXDOMAIN"], answers, [soa(name, 30)])
            ttl = e.get("ttl", 60)
            if "rcode" in e:
                rcode = RCODES.get(e["rcode"], e["rcode"])
                return message(query, rcode, answers, [soa(name, e.get("neg_ttl", 30))] if rcode == 3 else [])
            if kind in e and kind != "CNAME":
                answers += [record(name, kind, ttl, DATA[kind](v)) for v in e[kind]]
                return message(query, 0, answers)
            if "CNAME" not in e:
                return message(query, 0, answers, [soa(name, e.get("neg_ttl", 30))])
            answers.append(record(name, "CNAME", ttl, name_bytes(e["CNAME"])))
            if kind == "CNAME":
                return message(query, 0, answers)
            name = e["CNAME"].rstrip(".").lower()
        return message(query, RCODES["SERVFAIL"], answers)


# --- serving

class Server:
    def __init__(self, table, log, serial, forge_from):
        self.table, self.serial, self.forge_from = table, serial, forge_from
        self.log_file = open(log, "a", buffering=1, encoding="utf-8") if log else None  # pylint: disable=consider-using-with
        self.conns = 0
        self.tasks = set()

    def log(self, via, peer, conn, **more):
        if self.log_file:
            line = {"t": time.time(), "via": via, "from": "%s:%d" % peer[:2], "conn": conn, **more}
            self.log_file.write(json.dumps(line) + "\n")

    def spawn(self, coroutine):
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def parse(self, msg, via, peer, conn):
        try:
            q = Query(msg)
        except Garbage as e:
            self.log(via, peer, conn, garbage=len(msg), why=str(e))
            return None
        self.log(via, peer, conn, id=q.id, name=q.name, type=TYPE_NAMES.get(q.type, q.type), edns=q.edns, rd=bool(q.flags & 0x0100))
        return q

    @staticmethod
    def is_silent(entry, seen, via):
        return entry.get("silent") in (True, via) or seen <= entry.get("drop", 0)

    async def udp(self, transport, msg, peer):
        q = self.parse(msg, "udp", peer, 0)
        if not q:
            return
        entry, seen = self.table.query(q.name)
        entry = entry or {}
        if self.is_silent(entry, seen, "udp"):
            return
        if entry.get("forge"):
            self.forge(transport, q, peer)
            await asyncio.sleep(entry.get("forge_gap_ms", 50) / 1000)
        if entry.get("delay_ms"):
            await asyncio.sleep(entry["delay_ms"] / 1000)
        out = self.table.answer(q)
        if entry.get("tc") or len(out) > max(UDP_DEFAULT, q.edns or 0):
            out = message(q, 0, cut=True)
        transport.sendto(out, peer)

    def forge(self, transport, q, peer):
        lie = [record(q.name, "A", 60, DATA["A"](FORGED))]
        true_id = q.id
        right = message(q, 0, lie)
        for _ in range(20):
            q.id = (true_id + random.randrange(1, 65536)) & 0xFFFF
            transport.sendto(message(q, 0, lie), peer)
        q.id = true_id
        other = Query(struct.pack("!6H", true_id, 0x0100, 1, 0, 0, 0) + name_bytes("other." + q.name) + struct.pack("!HH", q.type, 1))
        transport.sendto(message(other, 0, lie), peer)
        family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
        local = transport.get_extra_info("sockname")[0]
        for address in [local] + ([self.forge_from] if self.forge_from else []):
            with socket.socket(family, socket.SOCK_DGRAM) as s:
                s.bind((address, 0))
                s.sendto(right, peer)

    async def tcp(self, reader, writer):
        self.conns += 1
        conn, peer = self.conns, writer.get_extra_info("peername")
        try:
            while True:
                size = struct.unpack("!H", await reader.readexactly(2))[0]
                msg = await reader.readexactly(size)
                work = self.tcp_one(writer, msg, peer, conn)
                if self.serial:
                    await work
                else:
                    self.spawn(work)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def tcp_one(self, writer, msg, peer, conn):
        q = self.parse(msg, "tcp", peer, conn)
        if not q:
            return
        entry, seen = self.table.query(q.name)
        entry = entry or {}
        if self.is_silent(entry, seen, "tcp"):
            return
        if entry.get("delay_ms"):
            await asyncio.sleep(entry["delay_ms"] / 1000)
        if entry.get("close"):
            writer.close()
            return
        if "frame" in entry:
            writer.write(struct.pack("!H", entry["frame"]) + os.urandom(entry["frame"]))
        if "garbage" in entry:
            writer.write(struct.pack("!H", entry["garbage"]) + os.urandom(entry["garbage"]))
        out = self.table.answer(q)
        if not writer.is_closing():
            writer.write(struct.pack("!H", len(out)) + out)


class Udp(asyncio.DatagramProtocol):
    def __init__(self, server):
        self.server, self.transport = server, None

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.server.spawn(self.server.udp(self.transport, data, addr))

    def error_received(self, exc):
        pass  # an asker that has gone


def endpoint(text):
    address, _, port = text.rpartition(":")
    address = address.strip("[]")
    ipaddress.ip_address(address)
    return address, int(port)


async def listen(server, address, port):
    loop = asyncio.get_running_loop()
    for _ in range(50):  # a port that is free for both
        transport, _ = await loop.create_datagram_endpoint(lambda: Udp(server), local_addr=(address, port))
        got = transport.get_extra_info("sockname")[1]
        try:
            await asyncio.start_server(server.tcp, address, got, backlog=128)
            return "%s:%d" % ("[%s]" % address if ":" in address else address, got)
        except OSError:
            transport.close()
            if port:
                raise
    raise OSError("no free port")


async def serve(options):
    server = Server(Table(options.table), options.log, options.serial, options.forge_from)
    stop = asyncio.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sig, stop.set)
    places = [await listen(server, *where) for where in options.listen]
    print("ready", *places, flush=True)
    await stop.wait()


def main():
    parser = argparse.ArgumentParser(description="a DNS server to be played with")
    parser.add_argument("table", help="JSON file, see the top of this program")
    parser.add_argument("--listen", action="append", required=True, type=endpoint, metavar="ADDRESS:PORT")
    parser.add_argument("--log", help="a JSON object a query is appended to this file")
    parser.add_argument("--serial", action="store_true", help="over TCP one query of a connection at a time")
    parser.add_argument("--forge-from", metavar="ADDRESS", help="also forge from this address of ours")
    asyncio.run(serve(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
