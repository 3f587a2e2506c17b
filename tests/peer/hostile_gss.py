#!/usr/bin/python3
"""A SOCKS5 server that uses the machine's GSSAPI library and then misbehaves: ADDRESS PORT SCENARIO..., one scenario
per connection, in this order. The name of a scenario has the stage and the fault, or "octet", the kind of failure,
the number of the message and the octet in it. After a scenario of the second kind in which nothing failed, it prints
the lengths of its messages on standard output."""

import os
import socket
import struct
import sys

import gssapi


class Wrong(Exception):
    """The scenario is over."""


def exactly(peer, n):
    data = b""
    while len(data) < n:
        piece = peer.recv(n - len(data))
        if not piece:
            raise Wrong
        data += piece
    return data


class Failing:
    """A connection that fails in the given WAY at an octet of a message, or after the message if it is shorter."""

    def __init__(self, peer, way, message, octet):
        self.peer, self.way = peer, way
        self.message, self.octet = int(message), int(octet)
        self.lengths = []

    def __getattr__(self, name):
        return getattr(self.peer, name)

    def sendall(self, data):
        self.lengths.append(len(data))
        if len(self.lengths) <= self.message:
            self.peer.sendall(data)
            return
        self.peer.sendall(data[:self.octet])
        if self.way == "garbage":
            # The first octet differs from the right one. In a token the right one may be 0xff.
            first = b"\xfe" if data[self.octet:self.octet + 1] == b"\xff" else b"\xff"
            self.peer.sendall(first + b"\xff" * (4 + len(data) - self.octet))
        elif self.way == "reset":
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self.way in ("close", "reset"):
            self.peer.close()
        elif self.way == "stall":
            while self.peer.recv(65536):
                pass
        raise Wrong


class Connection:
    def __init__(self, peer, scenario):
        self.peer = peer
        self.stage, self.what, *at = scenario.split("-")
        if at:
            self.peer = Failing(peer, self.what, *at)

    def message(self, mtyp):
        head = exactly(self.peer, 4)
        assert head[:2] == bytes([1, mtyp]), head
        return exactly(self.peer, struct.unpack("!H", head[2:])[0])

    def say(self, mtyp, token):
        self.peer.sendall(bytes([1, mtyp]) + struct.pack("!H", len(token)) + token)

    def wrap(self, data, encrypt=True):
        return self.context.wrap(data, encrypt).message

    def common(self, stage, mtyp, token):
        """Sends TOKEN, or the faults that every stage has in common in its place."""
        if stage != self.stage:
            self.say(mtyp, token)
            return
        wrong = {
            "zero": bytes([1, mtyp, 0, 0]),
            "long": bytes([1, mtyp, 255, 255]) + os.urandom(65535),
            "version": bytes([5, mtyp]) + struct.pack("!H", len(token)) + token,
            "type": bytes([1, 7]) + struct.pack("!H", len(token)) + token,
            "abort": b"\1\xff",
            "short": bytes([1, mtyp]) + struct.pack("!H", len(token)) + token[:-1],
            "cut": b"\1",
            "close": b"",
            "tampered": bytes([1, mtyp]) + struct.pack("!H", len(token)) + token[:-1]
                        + bytes([token[-1] ^ 1]),
        }.get(self.what)
        if wrong is None:
            self.special(mtyp, token)
        else:
            self.peer.sendall(wrong)
        if self.what != "fine":
            raise Wrong

    def special(self, mtyp, token):
        if self.stage == "level":
            if self.what == "plain":
                self.say(mtyp, b"\2")
            elif self.what == "two":
                self.say(mtyp, self.wrap(b"\2\2", False))
            else:
                self.say(mtyp, self.wrap(bytes([int(self.what)]), False))
        elif self.what == "bare":
            self.peer.sendall(b"\5\0\0\1\1\2\3\4\0\1" * 3)
        elif self.what == "weaker":
            self.say(mtyp, self.wrap(b"\5\0\0\1\1\2\3\4\0\1", False))
        elif self.what == "replayed":
            self.say(mtyp, token)
            self.say(mtyp, token)
        elif self.what == "skipped":
            self.say(mtyp, self.wrap(b"the second"))
        else:
            raise AssertionError(self.what)

    def play(self):
        greeting = exactly(self.peer, 2)
        assert 1 in exactly(self.peer, greeting[1])
        self.peer.sendall(b"\5\1")
        self.context = gssapi.SecurityContext(usage="accept")
        self.common("context", 1, self.context.step(self.message(1)))
        level = self.context.unwrap(self.message(2)).message
        self.common("level", 2, self.wrap(level, False) if self.stage != "level" else b"12345678")
        encrypt = level == b"\2"
        request = self.context.unwrap(self.message(3))
        assert request.message[:2] == b"\5\1" and request.encrypted == encrypt
        if self.stage == "reply" and self.what == "weaker":
            self.special(3, b"")
            raise Wrong
        self.common("reply", 3, self.wrap(b"\5\0\0\1\1\2\3\4\0\1", encrypt))
        if self.stage == "octet":
            self.say(3, self.wrap(b"good", encrypt))
            print(*self.peer.lengths, flush=True)
            raise Wrong
        assert self.context.unwrap(self.message(3)).message == b"connected"
        self.say(3, self.wrap(b"good", encrypt))
        if self.what in ("skipped", "weaker"):
            self.wrap(b"never sent", encrypt) if self.what == "skipped" else None
            self.special(3, b"")
            raise Wrong
        self.common("data", 3, self.wrap(b"evil", encrypt))
        if self.stage == "credentials":
            given = self.context.delegated_creds
            print(given.name if given else "none", flush=True)
        self.peer.shutdown(socket.SHUT_WR)


def main():
    address, port, *scenarios = sys.argv[1:]
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, int(port)))
    listener.listen(8)
    print("listening", flush=True)
    for scenario in scenarios:
        peer, _ = listener.accept()
        peer.settimeout(20)
        try:
            Connection(peer, scenario).play()
        except Wrong:
            try:
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass
            except OSError:
                pass
        peer.close()


if __name__ == "__main__":
    main()
