"""The trap: two packet sockets that record forbidden packets. One is at the far end of the client's default routes and
records everything. The other is at the proxy's end of the client's link and records all but TCP and UDP to the ports
of servers and relays. A filter in the kernel ignores that traffic, so that it cannot fill the receive buffer and
displace a forbidden packet. Packets that the kernel had to drop are counted and reported as caught."""

import ctypes
import socket
import struct
import time

_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_IP, _IPV6, _ARP, _ALL = 0x0800, 0x86DD, 0x0806, 3
_OUTGOING = 4
_FRAGMENT = 44


def _assemble(lines):
    """Assembles classic BPF from (label, code, operand, if-true, if-false). Jumps are given as labels."""
    places = {line[0]: n for n, line in enumerate(lines) if line[0]}
    code = b""
    for n, (_, op, operand, yes, no) in enumerate(lines):
        code += struct.pack("HBBI", op, places[yes] - n - 1 if yes else 0,
                            places[no] - n - 1 if no else 0, operand & 0xFFFFFFFF)
    return code


def link_filter(v4, v6, ports, relays):
    """A filter that accepts received packets, except ARP and TCP or UDP to V4 or V6 at one of PORTS, or of RELAYS,
    where datagrams are relayed. Later fragments of a packet have no port and are ignored."""
    word, half, byte, head, half_behind = 0x20, 0x28, 0x30, 0xB1, 0x48
    equal, at_least, above, any_of, end = 0x15, 0x35, 0x25, 0x45, 0x06
    v4 = struct.unpack(">I", socket.inet_aton(v4))[0]
    v6 = struct.unpack(">4I", socket.inet_pton(socket.AF_INET6, v6))
    lines = [
        (None, word, -0x1000 + 4, None, None),  # the packet's type
        (None, equal, _OUTGOING, "pass-over", "came"),
        ("came", half, 12, None, None),
        (None, equal, _ARP, "pass-over", "not-arp"),
        ("not-arp", equal, _IP, "v4", "not-v4"),
        ("v4", byte, 23, None, None),
        (None, equal, socket.IPPROTO_TCP, "v4-to", "v4-udp"),
        ("v4-udp", equal, socket.IPPROTO_UDP, "v4-to", "take"),
        ("v4-to", word, 30, None, None),
        (None, equal, v4, "v4-part", "take"),
        ("v4-part", half, 20, None, None),
        (None, any_of, 0x1FFF, "pass-over", "v4-port"),
        ("v4-port", head, 14, None, None),
        (None, half_behind, 16, None, None),
        (None, at_least, ports[0], "top", "take"),
        ("not-v4", equal, _IPV6, "v6", "take"),
        ("v6", byte, 20, None, None),
        (None, equal, socket.IPPROTO_TCP, "v6-0", "v6-udp"),
        ("v6-udp", equal, socket.IPPROTO_UDP, "v6-0", "v6-part"),
        ("v6-part", equal, _FRAGMENT, "part-0", "take")]
    for kind in ("v6", "part"):
        for n in range(4):
            lines += [("%s-%d" % (kind, n), word, 38 + 4 * n, None, None),
                      (None, equal, v6[n], "%s-%d" % (kind, n + 1), "take")]
        if kind == "v6":
            lines += [("v6-4", half, 56, None, None), (None, at_least, ports[0], "top", "take")]
    lines += [
        ("part-4", at_least, 0, "pass-over", "pass-over"),
        ("top", above, ports[-1], "relays", "pass-over"),
        ("relays", at_least, relays[0], "relays-top", "take"),
        ("relays-top", above, relays[-1], "take", "pass-over"),
        ("take", end, 0xFFFF, None, None),
        ("pass-over", end, 0, None, None)]
    return _assemble(lines)


def describe(frame):
    """Describes a packet. None for packets of the kernel itself (ARP, neighbours, routers, groups)."""
    kind = struct.unpack(">H", frame[12:14])[0]
    if kind == _IP:
        proto, body = frame[23], frame[14 + (frame[14] & 15) * 4:]
        ends = [socket.inet_ntop(socket.AF_INET, frame[at:at + 4]) for at in (26, 30)]
    elif kind == _IPV6:
        proto, body = frame[20], frame[54:]
        ends = [socket.inet_ntop(socket.AF_INET6, frame[at:at + 16]) for at in (22, 38)]
        if proto == 0 and body[:1] == b"\x3a":  # hop-by-hop options before MLD
            proto, body = 58, body[8:]
        if proto == 58 and body and body[0] in (130, 131, 132, 133, 134, 135, 136, 143):
            return None
    else:
        return None
    if proto in (socket.IPPROTO_TCP, socket.IPPROTO_UDP) and len(body) >= 8:
        name = "TCP" if proto == socket.IPPROTO_TCP else "UDP"
        return "%s %s port %d to %s port %d" % ((name, ends[0]) + struct.unpack(">H", body[:2]) +
                                                (ends[1],) + struct.unpack(">H", body[2:4]))
    if (proto, body[:1]) in ((1, b"\x03"), (58, b"\x01")):
        return None  # port unreachable: the port has been closed
    name = {1: "ICMP", 58: "ICMPv6"}.get(proto, "protocol %d" % proto)
    return "%s %s to %s" % (name, ends[0], ends[1])


def listen(device, program=b""):
    """A packet socket that records on DEVICE in the namespace of this thread."""
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
    if program:
        held = ctypes.create_string_buffer(program, len(program))
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER,
                            struct.pack("HP", len(program) // 8, ctypes.addressof(held)))
    listener.bind((device, _ALL))
    listener.setblocking(False)
    return listener


class Trap:
    def __init__(self, beyond, link):
        self.listeners = {"beyond": beyond, "link": link}

    @staticmethod
    def _frames(listener):
        while True:
            try:
                frame, origin = listener.recvfrom(65536)
            except BlockingIOError:
                return
            if origin[2] != _OUTGOING:
                yield frame

    def frames(self):
        """The packets received since the last call, as octets, with those of the kernel itself."""
        for listener in self.listeners.values():
            yield from self._frames(listener)

    def _drain(self, listener):
        yield from filter(None, map(describe, self._frames(listener)))

    def take(self):
        """The packets caught since the last call. Packets in transit get a moment to arrive."""
        time.sleep(0.03)
        caught = []
        for name, listener in self.listeners.items():
            caught += ["%s: %s" % (name, what) for what in self._drain(listener)]
            counts = listener.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
            missed = struct.unpack("II", counts)[1]
            if missed:
                caught.append("%s: %d packets that could not be recorded" % (name, missed))
        return caught
