"""Isolation: what goes under one name at a server and what does not, at a scripted server that notes the
names, and at Tor, which keeps streams of different names apart."""

import os
import re
import socket
import time

import bed
import servers as s
from hostile import OK, Hostile, Talk
from world import PYTHON, fine, right, test

CALL = """
import os, socket, sys
def call(*to):
    c = socket.create_connection(to); c.sendall(b'mine'); assert c.recv(9) == b'mine'
"""


def noting(told):
    """A script for the server: notes (user, password, where to) in TOLD, in the order of the requests."""
    def script(c):
        talk = Talk(c)
        if talk.greeting() != b"\2":  # of --check, which asks for each method
            c.say(b"\5\xff")
            return
        c.say(b"\5\2")
        words = talk.password()
        c.say(b"\1\0")
        request = talk.request()
        told.append(words + (request[4:],))
        c.say(OK if request[1] == 1 else b"\5\7\0\1" + bytes(6))
        if request[1] == 1:
            c.echo()
    return script


def python(code):
    return [PYTHON, "-c", CALL + code + "\nprint('fine')"]


def told_by(w, command, *options, url=None):
    told = []
    w.hostile.play(noting(told))
    words = options or ("-x", url or "socks5h://%s:%d" % (bed.PROXY4, s.HOSTILE))
    right(bed.run(bed.CLIENT, [w.socksify, *words, "--"] + command, w.env), b"fine")
    for user, password, _ in told:
        assert len(user) == len(password) == 16 and user != password, told
    return told


def users(told):
    return [user for user, _, _ in told]


def isolated(w, what, code):
    return told_by(w, python(code), "-x", "socks5h://%s:%d" % (bed.PROXY4, s.HOSTILE), "--isolate", what)


@test("isolation: a process has one name, its child, what it execs and the next run others")
def _(w):
    code = """
call('192.0.2.1', 7); call('a.example', 7); call('192.0.2.1', 8)
if os.fork() == 0:
    call('192.0.2.1', 7); call('192.0.2.2', 7); os._exit(0)
os.wait(); call('192.0.2.1', 7)
sys.stdout.flush()
if len(sys.argv) == 1: os.execv(sys.executable, [sys.executable, '-c', '''%s
call('192.0.2.1', 7); call('192.0.2.1', 7)
print('fine')''', 'again'])""" % CALL
    told = users(isolated(w, "process", code))
    assert len(told) == 8, told
    own, child, again = {told[0], told[1], told[2], told[5]}, set(told[3:5]), set(told[6:])
    assert len(own) == len(child) == len(again) == 1 and len(own | child | again) == 3, told
    assert not set(told) & set(users(isolated(w, "process", code))), told


@test("isolation: by destination, whatever the port and the process")
def _(w):
    code = """
for to in (('192.0.2.1', 7), ('192.0.2.1', 8), ('192.0.2.2', 7), ('a.example', 7), ('A.example', 8), ('b.example', 7)):
    call(*to)
if os.fork() == 0:
    call('192.0.2.1', 7); os._exit(0)
os.wait()"""
    told = users(isolated(w, "destination", code))
    assert len(told) == 7 and told[0] == told[1] == told[6] and told[3] == told[4], told
    assert len(set(told)) == 4, told
    both = users(isolated(w, "process,destination", code))
    assert both[0] == both[1] != both[6] and len(set(both)) == 5, both


@test("isolation: by rule, and as a rule says")
def _(w):
    conf = s.write(w.scratch + "/isolate.conf", """
server "one" { address = "%s" port = %d isolate = {"rule"} }
rule "a" { to = {"192.0.2.1", "192.0.2.2"} via = "one" }
rule "b" { to = {"192.0.2.3"} via = "one" }
rule "c" { to = {"192.0.2.4", "192.0.2.5"} via = "one" isolate = {"destination"} }
rule "d" { via = "one" }
""" % (bed.PROXY4, s.HOSTILE))
    code = "for i in range(1, 8): call('192.0.2.%d' % i, 7)"
    told = users(told_by(w, python(code), "-c", conf))
    assert told[0] == told[1] and told[5] == told[6] and len(set(told)) == 5, told
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "-c", conf, "--summary", "--"] + python(code), w.env)
    assert status == 0 and b'via "one": 7 connected\n' in err, (status, out, err)
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "-c", conf, "--explain", "192.0.2.4:80"], w.env)
    assert b"methods: userpass\nisolated by: destination\n" in out, (status, out, err)


@test("isolation: by the environment, under bare LD_PRELOAD")
def _(w):
    told = []
    w.hostile.play(noting(told))
    right(w.preloaded(s.HOSTILE, python("call('192.0.2.1', 7)"), SOCKS5_ISOLATE="process"), b"fine")
    right(w.preloaded(s.HOSTILE, python("call('192.0.2.1', 7)"), SOCKS5_ISOLATE="process"), b"fine")
    assert len(set(users(told))) == 2, told
    status, _, err = w.preloaded(s.HOSTILE, python("call('192.0.2.1', 7)"), SOCKS5_ISOLATE="proces")
    assert status != 0 and b'SOCKS5_ISOLATE: "proces" is unknown' in err and len(told) == 2, err


@test("isolation: a name and a password that are given")
def _(w):
    told = []
    w.hostile.play(noting(told))
    url = "socks5h://alice-:pw@%s:%d" % (bed.PROXY4, s.HOSTILE)
    right(bed.run(bed.CLIENT, [w.socksify, "-x", url, "--isolate", "process", "-vv", "--"] +
                  python("call('192.0.2.1', 7)"), w.env), b"fine")
    assert told[0][0].startswith(b"alice-") and len(told[0][0]) == 22 and told[0][1] == b"pw", told


@test("isolation: of associations, one each where destinations count")
def _(w):
    told = []

    def script(c):
        talk = Talk(c)
        talk.greeting()
        c.say(b"\5\2")
        told.append(talk.password()[0])
        c.say(b"\1\0")
        talk.request()
        c.say(bytes([5, 0, 0, 1]) + socket.inet_aton(bed.PROXY4) + (40000).to_bytes(2, "big"))
        c.hang()

    code = """
for i in range(2):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.sendto(b'x', ('192.0.2.1', 7)); u.close()
print('fine')"""
    for what, names in (("destination", 2), ("process", 1)):
        del told[:]
        w.hostile.play(script)
        url = "socks5h://%s:%d" % (bed.PROXY4, s.HOSTILE)
        right(bed.run(bed.CLIENT, [w.socksify, "-x", url, "--isolate", what, "--"] + python(code), w.env),
              b"fine")
        assert len(told) == 2 and len(set(told)) == names, told


@test("isolation: names are in no log line")
def _(w):
    for more in ([], ["--log-json"]):
        told = []
        w.hostile.play(noting(told))
        url = "socks5h://%s:%d" % (bed.PROXY4, s.HOSTILE)
        status, out, err = bed.run(bed.CLIENT, [w.socksify, "-x", url, "--isolate", "process", "-vv",
                                                "--summary", *more, "--"] + python("call('192.0.2.1', 7)"),
                                   w.env)
        assert status == 0 and len(told) == 1 and err, (status, out, err)
        assert not any(word in err + out for word in told[0][:2]), err


@test("isolation: at a server behind a UNIX socket")
def _(w):
    path, told = w.scratch + "/isolated", []
    Hostile(bed.unix_listener(path)).play(noting(told))
    code = """
call('192.0.2.1', 7); call('192.0.2.2', 7); call('192.0.2.1', 8)
if os.fork() == 0:
    call('192.0.2.1', 7); os._exit(0)
os.wait()"""
    for what, same in (("process", ((0, 1, 2),)), ("destination", ((0, 2, 3),)),
                       ("process destination", ((0, 2),))):
        del told[:]
        right(bed.run(bed.CLIENT, [w.socksify, "-x", "socks5h://localhost" + path, "--isolate", what, "--"]
                      + python(code), w.env), b"fine")
        names = users(told)
        groups = [[i for i in range(4) if names[i] == name] for name in dict.fromkeys(names)]
        assert [g for g in groups if len(g) > 1] == [list(each) for each in same], (what, told)


@test("isolation: --check examines an isolated server")
def _(w):
    told = []
    w.hostile.play(noting(told))
    url = "socks5h://%s:%d" % (bed.PROXY4, s.HOSTILE)
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "-x", url, "--isolate", "process", "--check",
                                            "--target", "192.0.2.1:7"], w.env)
    assert told and len(told[0][0]) == 16, (told, out, err)
    assert not any(word in err + out for word in told[0][:2]), out


def tor(w):
    """Tor without any network: it takes streams, says of each what isolates it, and gets no further."""
    folder = w.scratch + "/tor"
    os.makedirs(folder, mode=0o755)
    conf = s.write(folder + "/torrc", "DataDirectory %s/data\nSocksPort unix:%s/socks WorldWritable "
                   "RelaxDirModeCheck\nControlPort unix:%s/control RelaxDirModeCheck\n"
                   "CookieAuthentication 0\n" % (folder, folder, folder))
    bed.start(bed.PROXY, ["unshare", "-n", "tor", "-f", conf, "--quiet"])
    control = socket.socket(socket.AF_UNIX)
    control.settimeout(30)
    until = time.monotonic() + 30
    while control.connect_ex(folder + "/control"):
        assert time.monotonic() < until, "tor does not begin"
        time.sleep(0.05)
    control.sendall(b"AUTHENTICATE\r\nSETEVENTS STREAM\r\n")
    return folder + "/socks", control.makefile("r")


@test("isolation: at Tor, by process and destination")
def _(w):
    path, events = tor(w)
    code = """
import socket, sys
for to in sys.argv[1:]:
    c = socket.socket(); c.settimeout(1)
    try: c.connect((to, 80))
    except TimeoutError: pass"""
    hosts = [("192.0.2.1", "192.0.2.1", "192.0.2.2"), ("192.0.2.1",)]
    shell = "; ".join('%s -c "$CODE" %s' % (PYTHON, " ".join(each)) for each in hosts)
    fine(bed.run(bed.CLIENT, ["env", "CODE=" + code, w.socksify, "-x", "socks5h://localhost" + path,
                              "--isolate", "process,destination", "--", "sh", "-c", shell], w.env))
    seen = []
    while len(seen) < 4:
        event = events.readline()
        if re.search(r" STREAM \d+ NEW .* PURPOSE=USER ", event):
            seen.append((event.split()[5], re.search('SOCKS_USERNAME="(.*?)"', event)[1]))
            assert "ISO_FIELDS=SOCKS_USERNAME,SOCKS_PASSWORD," in event, event
    assert [to for to, _ in seen] == [each + ":80" for host in hosts for each in host], seen
    assert seen[0] == seen[1] and len(set(seen)) == len({name for _, name in seen}) == 3, seen
