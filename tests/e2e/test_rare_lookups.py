"""Look-ups that libc would do by itself, past the functions that programs call for names. The trap catches every query
that leaves, and the name server must not get one for a name that is answered locally."""

import contextlib
import os

import bed
import servers as s
from world import PYTHON, fine, right, test


@contextlib.contextmanager
def etc(**files):
    """Files of /etc on the client. A name has its dot as an underscore."""
    paths = {}
    for name, text in files.items():
        path = "%s/%s" % (bed.FILES[bed.CLIENT], name.replace("_", "."))
        before = open(path, encoding="ascii").read() if os.path.exists(path) else None
        paths[path] = before
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, 0o644)
    try:
        yield
    finally:
        for path, before in paths.items():
            if before is None:
                os.remove(path)
            else:
                with open(path, "w", encoding="ascii") as f:
                    f.write(before)


def hosts():
    with open(bed.FILES[bed.CLIENT] + "/hosts", encoding="ascii") as f:
        return f.read()


NETWORKS = """# comment
default 0.0.0.0
loopback 127.0.0.0
short 10 one two Three
half 192.168
broken
  indented 172.16.0.0 # alias
"""
NETWORK_CALLS = """
import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
class Net(ctypes.Structure):
    _fields_ = [('name', ctypes.c_char_p), ('aliases', ctypes.POINTER(ctypes.c_char_p)), ('type', ctypes.c_int),
                ('net', ctypes.c_uint32)]
libc.getnetbyname.restype = libc.getnetbyaddr.restype = ctypes.POINTER(Net)
herr = ctypes.c_int()
def show(p):
    if not p: return None
    n, i, aliases = p.contents, 0, []
    while n.aliases[i]: aliases.append(n.aliases[i]); i += 1
    return n.name, aliases, n.type, hex(n.net)
def reentrant(f, size, *args):
    n, ret, buf = Net(), ctypes.POINTER(Net)(), ctypes.create_string_buffer(size)
    r = f(*args, ctypes.byref(n), buf, ctypes.c_size_t(size), ctypes.byref(ret), ctypes.byref(herr))
    return r, show(ret)
for name in b'loopback', b'LOOPBACK', b'short', b'three', b'half', b'broken', b'indented', b'alias', b'nowhere', b'example':
    print(name, show(libc.getnetbyname(name)), reentrant(libc.getnetbyname_r, 2000, name))
for net, kind in (0x7f000000, 2), (0x0a000000, 0), (0xc0a80000, 2), (0xc0a80000, 10), (0x01020300, 2), (10, 2):
    print(hex(net), show(libc.getnetbyaddr(ctypes.c_uint32(net), kind)),
          reentrant(libc.getnetbyaddr_r, 2000, ctypes.c_uint32(net), kind))
print(reentrant(libc.getnetbyname_r, 3, b'short')[0] == errno.ERANGE)"""


@test("getnetbyname() and getnetbyaddr() have libc's results from /etc/networks, and send no query")
def _(w):
    with etc(networks=NETWORKS, nsswitch_conf="networks: files\n"):
        bare = bed.run(bed.CLIENT, [PYTHON, "-c", NETWORK_CALLS], w.env)
    fine(bare)
    for order in "networks: files\n", "networks: dns files\n", "networks: files dns\n":
        with etc(networks=NETWORKS, nsswitch_conf=order):
            asked = len(w.nameserver.asked)
            covered = w.via(s.DANTED, [PYTHON, "-c", NETWORK_CALLS])
            assert covered == bare, (covered, bare)
            assert len(w.nameserver.asked) == asked, w.nameserver.asked[asked:]


GETHOSTID = "import ctypes; print(ctypes.CDLL(None).gethostid() & 0xffffffff)"


@test("gethostid() uses the hosts file as libc does, and sends no query for a name that is not in it")
def _(w):
    name = os.uname().nodename
    with etc(hosts=hosts() + "10.1.2.3 %s\n" % name):
        bare = bed.run(bed.CLIENT, [PYTHON, "-c", GETHOSTID], w.env)
        right(bare, b"%d\n" % 0x010a0302)
        right(w.via(s.DANTED, [PYTHON, "-c", GETHOSTID]), bare[1])
    without = "".join(line + "\n" for line in hosts().splitlines() if name not in line.split())
    with etc(hosts=without):
        asked = len(w.nameserver.asked)
        right(w.via(s.DANTED, [PYTHON, "-c", GETHOSTID]), b"0\n")
        assert len(w.nameserver.asked) == asked, w.nameserver.asked[asked:]


LITERALS = """
import ctypes, socket
libc = ctypes.CDLL(None)
class Host(ctypes.Structure):
    _fields_ = [('name', ctypes.c_char_p), ('aliases', ctypes.c_void_p), ('type', ctypes.c_int), ('len', ctypes.c_int),
                ('list', ctypes.POINTER(ctypes.c_void_p))]
libc.gethostbyname.restype = libc.gethostbyname2.restype = ctypes.POINTER(Host)
def show(p):
    return socket.inet_ntop(p.contents.type, ctypes.string_at(p.contents.list[0], p.contents.len)) if p else None
for name in %r:
    print(name, show(libc.gethostbyname(name)), show(libc.gethostbyname2(name, 2)), show(libc.gethostbyname2(name, 10)))
    for family in 0, 2, 10:
        try: print(sorted({a[4][0] for a in socket.getaddrinfo(name, 80, family)}))
        except OSError as e: print(type(e).__name__)
"""


@test("gethostbyname() and getaddrinfo() send no query for any form of an address")
def _(w):
    names = (b"0x7f.1", b"0X7F000001", b"127.0x1", b"127.1", b"017700000001", b"2130706433", b"1.2.3.4", b"::1",
             b"fe80::1%lo", b"fe80::1%nosuch", b"fe80::1%1", b"::ffff:1.2.3.4", b"::ffff:1.2.3.4%lo", b"1:2:3:4:5:6:7:8%9")
    asked = len(w.nameserver.asked)
    w.hostile.play(lambda c: c.hang())
    status, out, err = w.via(s.HOSTILE, [PYTHON, "-c", LITERALS % (names,)])
    assert status == 0, err
    for name in names[:6]:
        assert b"%r 127.0.0.1 127.0.0.1 None\n" % name in out, (name, out)
    assert b"198.18." not in out and b"fdc4:" not in out, out
    assert len(w.nameserver.asked) == asked and not w.hostile.connections


LOOK = "import socket\nfor f in 0, 2, 10:\n print(sorted({a[4][0] for a in socket.getaddrinfo(%r, 80, f)}))\n" \
       "print(socket.gethostbyname(%r))"


@test("a line of the hosts file that libc skips sends no query: an address with a scope or brackets")
def _(w):
    with etc(hosts=hosts() + "fe80::1%lo scoped.example\n[fd00::1] brackets.example\n"):
        asked = len(w.nameserver.asked)
        for name in "scoped.example", "brackets.example":
            status, out, err = w.via(s.DANTED, [PYTHON, "-c", LOOK % (name, name)])
            assert status == 0 and b"198.18." in out and b"fdc4:" in out and b"fd00" not in out, (out, err)
        code = "import socket\nprint(socket.getnameinfo(('fe80::1', 0, 0, 1), 0)[0])\n" \
               "print(socket.getnameinfo(('fd00::1', 0, 0, 0), 0)[0])"
        fine(w.via(s.DANTED, [PYTHON, "-c", code]))
        assert len(w.nameserver.asked) == asked, w.nameserver.asked[asked:]


ORDERS = {"files dns": True, "files [NOTFOUND=return] dns": True, "files mdns4_minimal [NOTFOUND=return] dns": True,
          "mymachines resolve [!UNAVAIL=return] files myhostname dns": True, "files [SUCCESS=continue] dns": False,
          "dns files": False, "dns [!UNAVAIL=return] files": False, "dns": False, "files [ success=merge ] dns": False}


@test("whatever the order in nsswitch.conf is, a name of the hosts file sends no query")
def _(w):
    for order, local in ORDERS.items():
        with etc(hosts=hosts() + "10.7.7.7 ordered.example\nfd77::7 ordered.example\n",
                 nsswitch_conf="passwd: files\nhosts: %s\n" % order):
            asked = len(w.nameserver.asked)
            code = LOOK % ("ordered.example", "ordered.example")
            code += "\nprint(socket.getnameinfo(('10.7.7.7', 0), 0)[0], socket.gethostbyname('localhost'))"
            status, out, err = w.via(s.DANTED, [PYTHON, "-c", code])
            assert status == 0 and b"127.0.0.1" in out, (order, out, err)
            assert (b"'10.7.7.7'" in out and b"'fd77::7'" in out) == local, (order, out, err)
            assert local or b"198.18." in out, (order, out)
            queries = w.nameserver.asked[asked:]
            assert not [q for q in queries if "in-addr" not in q[0]], (order, queries)
