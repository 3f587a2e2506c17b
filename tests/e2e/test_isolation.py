"""Isolation: which connections share a user name at the server. Tested with a scripted server that records the names,
and with Tor, which isolates streams with different names."""

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


def recording(seen):
    """A script for the server: records (user, password, destination) in SEEN, in the order of the requests."""
    def script(c):
        talk = Talk(c)
        if talk.greeting() != b"\2":  # a greeting of --check, which tries each method
            c.say(b"\5\xff")
            return
        c.say(b"\5\2")
        words = talk.password()
        c.say(b"\1\0")
        request = talk.request()
        seen.append(words + (request[4:],))
        c.say(OK if request[1] == 1 else b"\5\7\0\1" + bytes(6))
        if request[1] == 1:
            c.echo()
    return script


def python(code):
    return [PYTHON, "-c", CALL + code + "\nprint('fine')"]


def seen_by(w, command, *options, url=None):
    seen = []
    w.hostile.play(recording(seen))
    words = options or ("-x", url or "socks5h://%s:%d" % (bed.PROXY4, s.HOSTILE))
    right(bed.run(bed.CLIENT, [w.socksify, *words, "--"] + command, w.env), b"fine")
    for user, password, _ in seen:
        assert len(user) == len(password) == 16 and user != password, seen
    return seen


def users(seen):
    return [user for user, _, _ in seen]


def isolated(w, what, code):
    return seen_by(w, python(code), "-x", "socks5h://%s:%d" % (bed.PROXY4, s.HOSTILE), "--isolate", what)


@test("isolation: a process has one name; its child, the program it executes and the next run have others")
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
    seen = users(isolated(w, "process", code))
    assert len(seen) == 8, seen
    own, child, again = {seen[0], seen[1], seen[2], seen[5]}, set(seen[3:5]), set(seen[6:])
    assert len(own) == len(child) == len(again) == 1 and len(own | child | again) == 3, seen
    assert not set(seen) & set(users(isolated(w, "process", code))), seen


@test("isolation: by destination, names do not depend on port and process")
def _(w):
    code = """
for to in (('192.0.2.1', 7), ('192.0.2.1', 8), ('192.0.2.2', 7), ('a.example', 7), ('A.example', 8), ('b.example', 7)):
    call(*to)
if os.fork() == 0:
    call('192.0.2.1', 7); os._exit(0)
os.wait()"""
    seen = users(isolated(w, "destination", code))
    assert len(seen) == 7 and seen[0] == seen[1] == seen[6] and seen[3] == seen[4], seen
    assert len(set(seen)) == 4, seen
    both = users(isolated(w, "process,destination", code))
    assert both[0] == both[1] != both[6] and len(set(both)) == 5, both


@test("isolation: by rule, and by the \"isolate\" key of a rule")
def _(w):
    conf = s.write(w.scratch + "/isolate.conf", """
server "one" { address = "%s" port = %d isolate = {"rule"} }
rule "a" { to = {"192.0.2.1", "192.0.2.2"} via = "one" }
rule "b" { to = {"192.0.2.3"} via = "one" }
rule "c" { to = {"192.0.2.4", "192.0.2.5"} via = "one" isolate = {"destination"} }
rule "d" { via = "one" }
""" % (bed.PROXY4, s.HOSTILE))
    code = "for i in range(1, 8): call('192.0.2.%d' % i, 7)"
    seen = users(seen_by(w, python(code), "-c", conf))
    assert seen[0] == seen[1] and seen[5] == seen[6] and len(set(seen)) == 5, seen
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "-c", conf, "--summary", "--"] + python(code), w.env)
    assert status == 0 and b'via "one": 7 connected\n' in err, (status, out, err)
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "-c", conf, "--explain", "192.0.2.4:80"], w.env)
    assert b"methods: userpass\nisolated by: destination\n" in out, (status, out, err)


@test("isolation: SOCKS5_ISOLATE works with LD_PRELOAD alone")
def _(w):
    seen = []
    w.hostile.play(recording(seen))
    right(w.preloaded(s.HOSTILE, python("call('192.0.2.1', 7)"), SOCKS5_ISOLATE="process"), b"fine")
    right(w.preloaded(s.HOSTILE, python("call('192.0.2.1', 7)"), SOCKS5_ISOLATE="process"), b"fine")
    assert len(set(users(seen))) == 2, seen
    status, _, err = w.preloaded(s.HOSTILE, python("call('192.0.2.1', 7)"), SOCKS5_ISOLATE="proces")
    assert status != 0 and b'SOCKS5_ISOLATE: "proces" is unknown' in err and len(seen) == 2, err


@test("isolation: a given user name becomes a prefix, a given password is sent unchanged")
def _(w):
    seen = []
    w.hostile.play(recording(seen))
    url = "socks5h://alice-:pw@%s:%d" % (bed.PROXY4, s.HOSTILE)
    right(bed.run(bed.CLIENT, [w.socksify, "-x", url, "--isolate", "process", "-vv", "--"] +
                  python("call('192.0.2.1', 7)"), w.env), b"fine")
    assert seen[0][0].startswith(b"alice-") and len(seen[0][0]) == 22 and seen[0][1] == b"pw", seen


@test("isolation: UDP associations to one destination have separate names when isolated by destination")
def _(w):
    seen = []

    def script(c):
        talk = Talk(c)
        talk.greeting()
        c.say(b"\5\2")
        seen.append(talk.password()[0])
        c.say(b"\1\0")
        talk.request()
        c.say(bytes([5, 0, 0, 1]) + socket.inet_aton(bed.PROXY4) + (40000).to_bytes(2, "big"))
        c.hang()

    code = """
for i in range(2):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.sendto(b'x', ('192.0.2.1', 7)); u.close()
print('fine')"""
    for what, names in (("destination", 2), ("process", 1)):
        del seen[:]
        w.hostile.play(script)
        url = "socks5h://%s:%d" % (bed.PROXY4, s.HOSTILE)
        right(bed.run(bed.CLIENT, [w.socksify, "-x", url, "--isolate", what, "--"] + python(code), w.env),
              b"fine")
        assert len(seen) == 2 and len(set(seen)) == names, seen


@test("isolation: the names appear in no log line")
def _(w):
    for more in ([], ["--log-json"]):
        seen = []
        w.hostile.play(recording(seen))
        url = "socks5h://%s:%d" % (bed.PROXY4, s.HOSTILE)
        status, out, err = bed.run(bed.CLIENT, [w.socksify, "-x", url, "--isolate", "process", "-vv",
                                                "--summary", *more, "--"] + python("call('192.0.2.1', 7)"),
                                   w.env)
        assert status == 0 and len(seen) == 1 and err, (status, out, err)
        assert not any(word in err + out for word in seen[0][:2]), err


@test("isolation: works with a server behind a UNIX socket")
def _(w):
    path, seen = w.scratch + "/isolated", []
    Hostile(bed.unix_listener(path)).play(recording(seen))
    code = """
call('192.0.2.1', 7); call('192.0.2.2', 7); call('192.0.2.1', 8)
if os.fork() == 0:
    call('192.0.2.1', 7); os._exit(0)
os.wait()"""
    for what, same in (("process", ((0, 1, 2),)), ("destination", ((0, 2, 3),)),
                       ("process destination", ((0, 2),))):
        del seen[:]
        right(bed.run(bed.CLIENT, [w.socksify, "-x", "socks5h://localhost" + path, "--isolate", what, "--"]
                      + python(code), w.env), b"fine")
        names = users(seen)
        groups = [[i for i in range(4) if names[i] == name] for name in dict.fromkeys(names)]
        assert [g for g in groups if len(g) > 1] == [list(each) for each in same], (what, seen)


@test("isolation: --check examines an isolated server")
def _(w):
    seen = []
    w.hostile.play(recording(seen))
    url = "socks5h://%s:%d" % (bed.PROXY4, s.HOSTILE)
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "-x", url, "--isolate", "process", "--check",
                                            "--target", "192.0.2.1:7"], w.env)
    assert seen and len(seen[0][0]) == 16, (seen, out, err)
    assert not any(word in err + out for word in seen[0][:2]), out


def tor(w):
    """Starts Tor without a network: it accepts streams, reports the isolation of each, and connects nowhere."""
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
        assert time.monotonic() < until, "tor does not start"
        time.sleep(0.05)
    control.sendall(b"AUTHENTICATE\r\nSETEVENTS STREAM\r\n")
    return folder + "/socks", control.makefile("r")


@test("isolation: Tor isolates streams by process and destination")
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
