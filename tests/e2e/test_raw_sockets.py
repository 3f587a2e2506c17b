"""Raw sockets whose protocol number is that of TCP or UDP. They send packets, no streams and no datagrams that a server
could forward."""

import os

import bed
import servers as s
from world import PYTHON, right, test

REFUSED = """
import socket
def result_of(call, *args):
    try: return call(*args)
    except OSError as e: return e.errno
for family, host in (socket.AF_INET, %r), (socket.AF_INET6, %r):
    for protocol in 6, 17, 136:
        s = socket.socket(family, socket.SOCK_RAW, protocol)
        to = (host, %d)
        print(result_of(s.connect, to), result_of(s.sendto, bytes(20), to), result_of(s.sendmsg, [bytes(20)], [], 0, to),
              result_of(s.sendto, bytes(20), 0x20000000, to), result_of(s.send, bytes(20)))"""

HOOKS = ["--no-fence"]  # the fence refuses them as well


for PORT, WHAT in ((0, "no port"), (7, "a port"), (53, "the port of name servers")):
    @test("raw sockets of TCP, UDP and UDP-Lite are refused with EACCES (%s)" % WHAT, root=True)
    def _(w, port=PORT):
        w.hostile.play(lambda c: c.hang())
        status, out, err = w.via(s.HOSTILE, [PYTHON, "-c", REFUSED % (bed.TARGET4, bed.TARGET6, port)], options=HOOKS)
        assert status == 0 and out == b"13 13 13 13 89\n" * 6, (status, out, err)
        assert err.count(b"refused: traffic to") == 4 * 6, err
        assert not w.hostile.connections


@test("raw sockets follow rules without a protocol", root=True)
def _(w):
    conf = s.write(w.scratch + "/raw.conf", """
server "p" { address = "%s" port = %d }
rule "tcp" { protocol = "tcp" to = "%s" via = "p" }
rule "here" { to = "%s" via = "direct" }
rule "rest" { via = "p" }
""" % (bed.PROXY4, s.HOSTILE, bed.TARGET4, bed.TARGET4))
    os.chmod(conf, 0o644)
    code = """
import socket
for protocol in 6, 17:
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
    s.connect((%r, 0))
    print(s.send(bytes(20)), s.sendto(bytes(20), (%r, 0)))""" % (bed.TARGET4, bed.TARGET4)
    w.trap.take()
    right(w.configured(conf, [PYTHON, "-c", code], w.env, 40, options=HOOKS), b"20 20\n20 20\n")
    assert w.trap.take()
