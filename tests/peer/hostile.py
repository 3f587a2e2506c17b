"""A SOCKS5 server that follows a script, including faults, and records what it receives from the client.

A script is a function with one argument, a Conversation: it receives data, sends octets, resets, hangs, echoes. Talk
reassembles the client's messages from segments, for scripts that follow the protocol up to a point."""

import socket
import struct
import threading
import time

CHOSEN, OK = b"\5\0", bytes([5, 0, 0, 1, 10, 0, 0, 1, 4, 0])


class Hostile:
    """Serves on LISTENER. Each connection is handled by the current script. RECEIVED has the data of each recv(), one
    element for each."""

    def __init__(self, listener):
        self.script, self.received, self.connections = None, [], 0
        self.listener = listener
        threading.Thread(target=self._accept, daemon=True).start()

    def play(self, script):
        self.script, self.received, self.connections = script, [], 0

    def _accept(self):
        while True:
            peer, _ = self.listener.accept()
            self.connections += 1
            threading.Thread(target=self._serve, args=(peer, self.script), daemon=True).start()

    def _serve(self, peer, script):
        try:
            script(Conversation(self, peer))
        except OSError:
            pass
        finally:
            peer.close()


class Conversation:
    """One connection to the hostile server, with the operations for scripts."""

    OK = OK

    def __init__(self, server, sock):
        self.server, self.sock = server, sock

    def receive(self):
        """The data of one recv(). It is empty if the client closed the connection."""
        self.sock.settimeout(20)
        data = self.sock.recv(4096)
        if data:
            self.server.received.append(data)
        return data

    def say(self, data):
        self.sock.sendall(data)

    def say_slowly(self, data):
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(data)):
            self.sock.sendall(data[i:i + 1])
            time.sleep(0.01)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def echo(self):
        while data := self.sock.recv(65536):
            self.sock.sendall(data)

    def hang(self):
        self.sock.settimeout(20)
        while self.sock.recv(4096):
            pass


class Talk:
    """The server's side of SOCKS5 in a conversation, independent of how the client's octets are segmented."""

    def __init__(self, conversation):
        self.c, self.pending = conversation, b""

    def take(self, n):
        while len(self.pending) < n:
            data = self.c.receive()
            if not data:
                raise OSError("the client closed")
            self.pending += data
        taken, self.pending = self.pending[:n], self.pending[n:]
        return taken

    def greeting(self):
        return self.take(self.take(2)[1])

    def password(self):
        user = self.take(self.take(2)[1])
        return user, self.take(self.take(1)[0])

    def request(self):
        head = self.take(4)
        if head[3] == 3:
            head += self.take(1)
        return head + self.take(6 if head[3] == 1 else 18 if head[3] == 4 else head[4] + 2)

    def begin(self):
        self.greeting()
        self.c.say(CHOSEN)
        self.request()

    def begin_with_password(self):
        self.greeting()
        self.c.say(b"\5\2")
        self.password()
        self.c.say(b"\1\0")
        self.request()

    def serve(self, how=None):
        self.begin()
        (how or self.c.say)(OK)
        if self.pending:
            self.c.say(self.pending)
        self.c.echo()
