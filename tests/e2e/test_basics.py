"""Basics: curl through a server, a server that is down, and refused traffic."""

import os

import bed
import servers as s
from world import AUTH, CURL, PAGE, PLAIN, PYTHON, URL4, right, test


@test("curl works with LD_PRELOAD alone")
def _(w):
    right(w.preloaded(s.DANTED, CURL + [URL4]), PAGE)


@test("without a configuration every connection fails and the reason is logged")
def _(w):
    status, out, err = w.preloaded(None, CURL + [URL4])
    assert status != 0 and not out and b"no configuration" in err, (status, out, err)


@test("connect() to a target that refuses fails with ECONNREFUSED")
def _(w):
    code = "import socket; print(socket.socket().connect_ex(('%s', 11)))" % bed.TARGET4
    right(w.via(s.DANTED, [PYTHON, "-c", code]), b"111")


@test("connect() through a server that is down fails with ECONNREFUSED")
def _(w):
    code = "import socket; print(socket.socket().connect_ex(('%s', 80)))" % bed.TARGET4
    right(w.via(s.CLOSED, [PYTHON, "-c", code]), b"111")


@test("connect() with a wrong password fails with EACCES")
def _(w):
    code = "import socket; print(socket.socket().connect_ex(('%s', 80)))" % bed.TARGET4
    right(w.via(s.DANTED_AUTH, [PYTHON, "-c", code], s.USER + ":wrong"), b"13")


@test("UDP through a server without UDP fails with EOPNOTSUPP and no packet is sent")
def _(w):
    code = """
import socket
try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('%s', 9999))
except OSError as e: print(e.errno)""" % bed.TARGET4
    status, out, err = w.via(s.MICROSOCKS, [PYTHON, "-c", code])
    assert b"95" in out and b"does not support UDP" in err, (status, out, err)


@test("MSG_FASTOPEN goes through the server")
def _(w):
    code = """
import socket
c = socket.socket(); c.sendto(b'hello', socket.MSG_FASTOPEN, ('%s', 7)); print(c.recv(9))
""" % bed.TARGET4
    right(w.via(s.DANTED, [PYTHON, "-c", code]), b"hello")


@test("syscall(SYS_connect) goes through the server")
def _(w):
    code = """
import ctypes, socket, struct
c = socket.socket(); libc = ctypes.CDLL(None)
a = struct.pack('=H', 2) + struct.pack('!H', 9) + socket.inet_aton('%s') + bytes(8)
assert libc.syscall(42, c.fileno(), a, 16) == 0
print(c.recv(99))""" % bed.TARGET4
    right(w.via(s.DANTED, [PYTHON, "-c", code]), s.BANNER_TEXT[:30])


@test("a negotiation takes one round trip, without authentication and with a password")
def _(w):
    def good(c):
        first = c.receive()
        c.say(bytes([5, first[2]]) + (b"\1\0" if first[2] == 2 else b"") + c.OK)
        c.echo()
    code = """
import socket
c = socket.create_connection(('%s', 7)); c.sendall(b'mine'); print(c.recv(9))""" % bed.TARGET4
    for user in ("", 'username = "a" password = "b"'):
        conf = s.write("%s/one-round-trip.conf" % w.scratch, 'server "p" { address = "%s" port = %d pipeline = on %s }\n'
                       'rule "all" { via = {"p"} }\n' % (bed.PROXY4, s.HOSTILE, user))
        os.chmod(conf, 0o600)
        w.hostile.play(good)
        right(w.configured(conf, [PYTHON, "-c", code], w.env, 40), b"mine")
        assert len(w.hostile.received) == 1, w.hostile.received


@test("each failure reply of the server has its own errno")
def _(w):
    expected = {2: 13, 3: 101, 4: 113, 5: 111, 6: 110, 7: 95, 8: 97, 9: 71, 255: 71}
    code = "import socket; print(socket.socket().connect_ex(('%s', 80)))" % bed.TARGET4
    for rep, errno in expected.items():
        def refuse(c, rep=rep):
            c.receive()
            c.say(bytes([5, 0, 5, rep, 0, 1, 0, 0, 0, 0, 0, 0]))
        w.hostile.play(refuse)
        right(w.via(s.HOSTILE, [PYTHON, "-c", code]), b"%d" % errno)


@test("socksify exits with the status of the command, 126 or 127")
def _(w):
    for command, status in ((["false"], 1), (["sh", "-c", "exit 42"], 42), (["/nonexistent"], 127),
                            (["/etc/passwd"], 126)):
        assert w.via(s.DANTED, command)[0] == status, command


@test("socksify -p reads a profile of the user, which children have, too", on=PLAIN)
def _(w):
    for name, variable in (("", "HOME"), ("config", "XDG_CONFIG_HOME")):
        home = w.scratch + "/profiles" + name
        folder = home + ("/socks5" if name else "/.config/socks5")
        os.makedirs(folder, exist_ok=True)
        s.write(folder + "/work.conf", 'server "p" { address = "%s" port = %d }\nrule "all" { via = "p" }\n'
                % (bed.PROXY4, s.DANTED))
        env = dict(w.env, **{variable: home})
        command = [w.socksify, "-p", "work", "--", "sh", "-c", "curl -sS -m 20 %s; env -u SOCKS5_STATE curl -sS -m 20 %s"
                   % (URL4, URL4)]
        status, out, err = bed.run(bed.CLIENT, command, env, 60)
        assert status == 0 and out.count(PAGE) == 2, (status, out, err)
        for words, why in ((["-p", "play"], b"play.conf"), (["-p", "../work"], b"not a name"), (["-p", ""], b"not a name"),
                           (["-p", "work", "-x", "h"], b"excludes"), (["-c", "f", "-p", "work"], b"excludes")):
            status, out, err = bed.run(bed.CLIENT, [w.socksify, *words, "--", "true"], env, 20)
            assert status == 125 and why in err and err.count(b"\n") == 1, (words, status, err)
