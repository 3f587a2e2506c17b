"""Socket options by which the kernel sends packets to other hosts than those that the calls name."""

import os

import bed
import servers as s
from world import PYTHON, right, test

# Each option: level, name, value. GROUP4 and GROUP6 are packed addresses.
JOINS = """
import errno, socket, struct
def try_option(s, level, name, value):
    try: s.setsockopt(level, name, value); return 'set'
    except OSError as e: return errno.errorcode[e.errno]
u4, u6 = socket.socket(2, 2), socket.socket(10, 2)
index = socket.if_nametoindex(%r)
g4, g6 = socket.inet_aton('239.7.7.7'), socket.inet_pton(10, 'ff15::7')
here = socket.inet_aton(%r)
sa4 = (struct.pack('=HH', 2, 0) + g4).ljust(128, b'\\0')
sa6 = (struct.pack('=HHI', 10, 0, 0) + g6).ljust(128, b'\\0')
from4 = (struct.pack('=HH', 2, 0) + bytes((10, 88, 1, 9))).ljust(128, b'\\0')
for s, level, name, value in (
    (u4, 0, 35, g4 + here), (u4, 0, 39, g4 + here + bytes((10, 88, 1, 9))), (u6, 41, 20, g6 + struct.pack('=I', index)),
    (u4, 0, 42, struct.pack('=II', index, 0) + sa4), (u6, 41, 42, struct.pack('=II', index, 0) + sa6),
    (u4, 0, 46, struct.pack('=II', index, 0) + sa4 + from4)):
    s = socket.socket(s.family, 2)
    print(try_option(s, level, name, value), end=' ')
print(try_option(u4, 0, 35, b'1234'), try_option(u4, 0, 1, struct.pack('=i', 16)))"""

ROUTES = """
import errno, socket, struct
def try_option(s, level, name, value):
    try: s.setsockopt(level, name, value); return 'set'
    except OSError as e: return errno.errorcode[e.errno]
hop4, hop6 = socket.inet_aton(%r), socket.inet_pton(10, %r)
for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
    s4, s6 = socket.socket(2, kind), socket.socket(10, kind)
    for option in b'\\x83\\x07\\x04' + hop4, b'\\x01\\x89\\x0b\\x04' + socket.inet_aton('127.0.0.1') + hop4:
        print(try_option(s4, 0, 4, option.ljust(12, b'\\0')), end=' ')
    for name in 57, 5:
        print(try_option(s6, 41, name, bytes((0, 2, 2, 1, 0, 0, 0, 0)) + hop6), end=' ')
    print(try_option(s4, 0, 4, b'\\x94\\x04\\0\\0'))""" % (bed.TARGET4, bed.TARGET6)  # the last one is the router alert

HOOKS = ["--no-fence"]  # the fence refuses them as well


@test("membership in a multicast group is refused where the rules do not make it direct", root=True)
def _(w):
    status, out, err = w.via(s.HOSTILE, [PYTHON, "-c", JOINS % ("proxy", bed.CLIENT4)], options=HOOKS)
    assert status == 0 and out == b"ENOTSUP " * 6 + b"EINVAL set\n", (out, err)
    assert err.count(b"refused: UDP to") == 6 and err.count(b"membership in a multicast group") == 6, err


@test("membership in a multicast group is possible where a rule makes it direct", root=True)
def _(w):
    conf = s.write(w.scratch + "/groups.conf", """
server "p" { address = "%s" port = %d }
rule "groups" { to = {"239.0.0.0/8", "ff15::/16"} via = "direct" }
rule "rest" { via = "p" }
""" % (bed.PROXY4, s.HOSTILE))
    os.chmod(conf, 0o644)
    status, out, err = w.configured(conf, [PYTHON, "-c", JOINS % ("lo", "127.0.0.1")], w.env, 40, options=HOOKS)
    assert status == 0 and out == b"set " * 6 + b"EINVAL set\n", (out, err)


@test("source routes are refused where the rules do not make their hosts direct", root=True)
def _(w):
    bare = bed.run(bed.CLIENT, [PYTHON, "-c", ROUTES], w.env, root=True)
    status, out, err = w.via(s.HOSTILE, [PYTHON, "-c", ROUTES], options=HOOKS)
    assert status == 0 and out == b"ENOTSUP ENOTSUP ENOTSUP ENOTSUP set\n" * 2, (out, err, bare)
    assert err.count(b"a source route through server") == 8, err
    conf = s.write(w.scratch + "/route.conf", """
server "p" { address = "%s" port = %d }
rule "hops" { to = {"%s", "%s"} via = "direct" }
rule "rest" { via = "p" }
""" % (bed.PROXY4, s.HOSTILE, bed.TARGET4, bed.TARGET6))
    os.chmod(conf, 0o644)
    right(w.configured(conf, [PYTHON, "-c", ROUTES], w.env, 40, options=HOOKS), bare[1])
