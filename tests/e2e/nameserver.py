"""A DNS server over UDP and TCP, by default in the target namespace. It has the zone "example" and few other records."""

import ipaddress
import re
import socket
import struct
import threading

import bed

A, PTR, MX, TXT, AAAA = 1, 12, 15, 16, 28
ZONE = {
    "both.example": {A: [bed.TARGET4], AAAA: [bed.TARGET6]},
    "only4.example": {A: [bed.TARGET4]},
    "only6.example": {AAAA: [bed.TARGET6]},
    "xn--bcher-kva.example": {A: [bed.IDN4], AAAA: [bed.IDN6]},
    ipaddress.ip_address(bed.IDN4).reverse_pointer: {PTR: ["xn--bcher-kva.example"]},
    ipaddress.ip_address(bed.IDN6).reverse_pointer: {PTR: ["xn--bcher-kva.example"]},
    "here.example": {A: ["127.0.0.1"]},
    "mail.example": {MX: ["both.example"], TXT: ["said by a server"]},
    "long.example": {TXT: ["%s%d" % ("x" * 250, i) for i in range(8)]},
}
WILD = re.compile(r"(.+\.)?wild\.example$")  # every name below it has the target's addresses


def name_out(name):
    labels = [x.encode() for x in name.rstrip(".").split(".") if x]
    return b"".join(bytes([len(x)]) + x for x in labels) + b"\0"


def name_in(message, at):
    labels = []
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1"))
        at += 1 + message[at]
    return ".".join(labels), at + 1


def data(kind, value):
    if kind in (A, AAAA):
        return socket.inet_pton(socket.AF_INET if kind == A else socket.AF_INET6, value)
    if kind == PTR:
        return name_out(value)
    if kind == MX:
        return struct.pack("!H", 10) + name_out(value)
    return bytes([len(value)]) + value.encode()


def answer(message, most):
    """The answer to a query. If it is longer than MOST octets, it has no records and the TC flag is set."""
    name, at = name_in(message, 12)
    kind = struct.unpack_from("!H", message, at)[0]
    question = message[12:at + 4]
    known = ZONE.get(name.lower())
    if known is None and WILD.match(name.lower()):
        known = {A: [bed.TARGET4], AAAA: [bed.TARGET6]}
    values = (known or {}).get(kind, [])
    records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data(kind, v))) +
                       data(kind, v) for v in values)
    flags = 0x8180 | (0 if known is not None else 3)
    if 12 + len(question) + len(records) > most:
        flags, values, records = flags | 0x200, [], b""
    return message[:2] + struct.pack("!HHHHH", flags, 1, len(values), 0, 0) + question + records


class Nameserver:
    """Records the queries that it receives: (name, type) pairs."""

    def __init__(self, ns=bed.TARGET, addresses=(bed.TARGET4, bed.TARGET6)):
        self.asked = []
        with bed.inside(ns):
            for address in addresses:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                udp = socket.socket(family, socket.SOCK_DGRAM)
                udp.bind((address, 53))
                tcp = socket.socket(family)
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tcp.bind((address, 53))
                tcp.listen(512)
                for run, s in ((self._udp, udp), (self._tcp, tcp)):
                    threading.Thread(target=run, args=(s,), daemon=True).start()

    def _answer(self, message, most):
        name, at = name_in(message, 12)
        self.asked.append((name, struct.unpack_from("!H", message, at)[0]))
        return answer(message, most)

    def _udp(self, s):
        while True:
            message, peer = s.recvfrom(4096)
            s.sendto(self._answer(message, 512), peer)

    def _tcp(self, s):
        while True:
            peer, _ = s.accept()
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        with peer, peer.makefile("rb") as f:
            while len(head := f.read(2)) == 2:
                reply = self._answer(f.read(struct.unpack("!H", head)[0]), 65535)
                peer.sendall(struct.pack("!H", len(reply)) + reply)
