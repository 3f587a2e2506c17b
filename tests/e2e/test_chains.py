"""Chains: a connection goes through several servers, one behind the other, on the program's own socket."""

import itertools
import json
import os
import socket
import struct
import subprocess

import bed
import servers as s
from hostile import CHOSEN, OK
from test_several import (ASYNC, CLOSED, FORKING, GOOD, HOSTILE, LISTEN_NOW, NODE, PROGRAMS, REFUSING, SILENT, THREADED,
                          Configured, listen_and_answer, names_of, never_answers, play, replies)
from world import ASAN, CURL, PAGE, PLAIN, PYTHON, TSAN, fine, right, test

_fresh = itertools.count()
AUTH = 'port = %d username = "%s" password = "%s"' % (s.DANTED_AUTH, s.USER, s.PASSWORD)
MICRO_AUTH = 'port = %d username = "%s" password = "%s"' % (s.MICROSOCKS_AUTH, s.USER, s.PASSWORD)
SSH = 'port = %d' % s.SSH_D
# Servers that only other servers can reach, in the namespace of the targets.
FAR = 'address = "%s" port = 1095' % bed.TARGET4
FAR6 = 'address = "%s" port = 1095' % bed.TARGET6
FAR_NAMED = 'address = "both.example" port = 1095'
FAR_AUTH = 'address = "%s" port = 1096 username = "%s" password = "%s"' % (
    bed.TARGET4, s.USER, s.PASSWORD)
# Servers on the proxy's host. danted cannot connect to an address of its own host there, the others can.
MICRO = 'port = %d' % s.MICROSOCKS
FAR_MICRO = 'address = "%s" port = 1097 username = "a" password = "b"' % bed.TARGET4
_far = []


def far(w):
    """Starts the servers that are reached through others, once in a run."""
    if _far:
        return
    _far.append(True)
    s.start_danted(w.scratch, 1095, "none", bed.TARGET)
    s.start_danted(w.scratch, 1096, "username", bed.TARGET)
    bed.start(bed.TARGET, ["microsocks", "-i", "::", "-p", "1097", "-u", "a", "-P", "b"], stderr=subprocess.DEVNULL)
    for port in (1095, 1096, 1097):
        bed.wait_port(bed.TARGET, bed.TARGET4, port)


class Chain(Configured):
    """A configuration with a chain of the SERVERS."""

    def __init__(self, w, *servers, chain="", timeout=8, rule=""):
        far(w)
        rest = 'chain "deep" { servers = {%s} %s }\n' % (names_of(servers), chain)
        super().__init__(w, servers, timeout,
                         rest + (rule or 'rule "all" { via = "deep" command = {"connect", "bind", "udp"} }\n'))


CHAINS = {
    "danted, danted": (GOOD, FAR_NAMED),
    "danted, danted, danted": (AUTH, FAR6, FAR_AUTH),
    "microsocks, danted": (MICRO_AUTH, FAR),
    "danted, microsocks": (AUTH, FAR_MICRO),
    "danted, microsocks, danted": (GOOD, FAR_MICRO, FAR_AUTH),
    "ssh -D, danted, microsocks": (SSH, FAR_AUTH, FAR_MICRO),
}

for NUMBER, (LABEL, SERVERS) in enumerate(CHAINS.items()):
    @test("chains: programs connect through " + LABEL, on=(ASAN, PLAIN) if NUMBER == 4 else PLAIN)
    def _(w, servers=SERVERS):
        chain = Chain(w, *servers)
        for _ in range(2):  # the second time it is known which of them accept pipelining
            for name in PROGRAMS:
                fine(chain.run([w.app(name), bed.TARGET4, str(s.ECHO)]))
        for name in PROGRAMS:
            fine(Chain(w, *servers).run([w.app(name), bed.TARGET4, str(s.ECHO)]))
        right(chain.run(CURL + ["http://both.example/"]), PAGE)


@test("chains: programs with threads and forks", on=(ASAN, TSAN))
def _(w):
    for name in THREADED + (FORKING if w.variant == ASAN else ()):
        fine(Chain(w, GOOD, FAR_MICRO, FAR_AUTH, timeout=30).run([w.app(name), bed.TARGET4, str(s.ECHO)], 60))


@test("chains: 500 connects at once", on=(PLAIN, ASAN), slow=5)
def _(w):
    fine(Chain(w, GOOD, FAR, timeout=30).run([w.app("connect_500"), bed.TARGET4, str(s.ECHO)], 80))


@test("chains: event loops of Python and Node.js, 50 at a time", on=PLAIN)
def _(w):
    for command in ([PYTHON, "-c", ASYNC], ["node", "-e", NODE]):
        right(Chain(w, AUTH, FAR6).run(command), b"all")


@test("chains: -x A,B", on=PLAIN)
def _(w):
    urls = "%s:%d,%s:%s@%s:1096" % (bed.PROXY4, s.DANTED, s.USER, s.PASSWORD.replace("@", "%40").replace("/", "%2F").replace(
        ":", "%3A"), bed.TARGET4)
    for command in (CURL + ["http://both.example/"], [w.app("probe"), bed.TARGET6, str(s.ECHO)]):
        status, out, err = bed.run(bed.CLIENT, [w.socksify, "-v", "-x", urls, "--", *command], w.env)
        assert status == 0 and out.strip() in (PAGE, b"ok"), (status, out, err)
        assert b'via "%s:%d,%s:1096"' % (bed.PROXY4.encode(), s.DANTED, bed.TARGET4.encode()) in err, err
    code = "print(open('/proc/%d/cmdline' % __import__('os').getpid()).read())"
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "-x", urls, "--", "sh", "-c", "tr '\\0' ' ' < /proc/$PPID/cmdline; " +
                                            "%s -c \"%s\"" % (PYTHON, code)], w.env)
    assert status == 0 and s.PASSWORD.encode() not in out and b"%3A" not in out, (status, out, err)


# A server that cannot be used, and what is said of it at the first and at the second place of a chain.
DEAD = {
    "refuses connections": (CLOSED, 'address = "%s" port = %d' % (bed.TARGET4, s.REFUSED), "connection refused"),
    "refuses the user": (REFUSING, FAR_AUTH.replace("pass:w@rd", "wrong"), "wrong name or password"),
    "is a web server": ('address = "%s" port = 22' % bed.PROXY4, 'address = "%s" port = 80' % bed.TARGET4, ""),
}

for LABEL, (FIRST, SECOND, SAID) in DEAD.items():
    @test("chains: strict: a server that " + LABEL + " is named, and the program has an error", on=PLAIN)
    def _(w, first=FIRST, second=SECOND, said=SAID):
        for how in ("", "nonblock"):
            if "address" not in first:
                got, err = Chain(w, first, FAR).probe(how)
                assert got.startswith("E") and 'chain "deep": server "s0": ' + said in err and err.count("\n") == 1, (got, err)
            got, err = Chain(w, GOOD, second, FAR).probe(how)
            assert got.startswith("E") and err.count("\n") == 1, (got, err)
            assert 'chain "deep": server "s1", reached through "s0": ' + said in err, (got, err)

    @test("chains: dynamic: a server that " + LABEL + " is left out, also in the next run", on=(PLAIN, ASAN))
    def _(w, first=FIRST, second=SECOND, said=SAID):
        for servers in ([first, GOOD, FAR] if "address" not in first else [GOOD, FAR], [GOOD, second, FAR_AUTH],
                        [GOOD, FAR, second]):
            for name in PROGRAMS[:4]:
                chain = Chain(w, *servers, chain='mode = "dynamic"')
                fine(chain.run([w.app(name), bed.TARGET4, str(s.ECHO)]))
                assert chain.probe() == ("ok", ""), "it is known"


@test("chains: dynamic: a server that never answers is left out, in first and in second place", on=(PLAIN, ASAN))
def _(w):
    play(w, never_answers)
    for servers in ((HOSTILE, GOOD, FAR), (MICRO, HOSTILE, FAR), (SILENT, GOOD, FAR)):
        for how in ("", "nonblock"):
            chain = Chain(w, *servers, chain='mode = "dynamic"', timeout=6)
            got, err = chain.probe(how)
            assert got == "ok" and "it does not answer" in err, (got, err)
            assert chain.probe(how) == ("ok", "")


@test("chains: dynamic: no server is left", on=PLAIN)
def _(w):
    chain = Chain(w, CLOSED, CLOSED, chain='mode = "dynamic"')
    got, err = chain.probe()
    assert got == "ECONNREFUSED" and err.count("\n") == 2, (got, err)


for CODE, ERRNO in ((1, "ECONNREFUSED"), (2, "EACCES"), (4, "EHOSTUNREACH"), (5, "ECONNREFUSED"), (6, "ETIMEDOUT")):
    @test("chains: reply %d of the last server is the program's" % CODE, on=PLAIN)
    def _(w, code=CODE, errno=ERRNO):
        play(w, replies(code))
        for chain in ("", 'mode = "dynamic"'):
            for how in ("", "nonblock"):
                got, err = Chain(w, MICRO, HOSTILE + " pipeline = on", chain=chain).probe(how)
                assert (got, err) == (errno, "") or code == 1 and got.startswith("E"), (got, err)


def hops_used(chain, n):
    """The hops of each of N connections of one run."""
    code = "import socket\nfor i in range(%d): socket.create_connection(('%s', %d)).close()" % (n, bed.TARGET4, s.ECHO)
    status, out, err = chain.run([PYTHON, "-c", code])
    assert status == 0, (status, out, err)
    return [line.split("(")[1].split(")")[0] for line in err.decode().splitlines() if "connected" in line]


@test("chains: random and round-robin take some servers", on=PLAIN)
def _(w):
    near = ("port = %d" % s.DANTED, "port = %d" % s.MICROSOCKS, "port = %d" % s.SSH_D)
    own = [words.replace("port", 'address = "%s" port' % bed.PROXY4) for words in near]
    used = hops_used(Chain(w, *own, chain='mode = "random" length = 1'), 30)
    assert set(used) == {"s0", "s1", "s2"}, used
    used = hops_used(Chain(w, *own, chain='mode = "round-robin" length = 1'), 9)
    assert used == ["s0", "s1", "s2"] * 3, used
    used = hops_used(Chain(w, CLOSED, own[1], own[2], chain='mode = "round-robin" length = 1'), 6)
    assert set(used) == {"s1", "s2"}, used
    used = hops_used(Chain(w, GOOD, FAR, FAR_MICRO), 2)
    assert used == ["s0, s1, s2"] * 2, used
    got, _ = Chain(w, CLOSED, CLOSED, MICRO, chain='mode = "random" length = 2').probe()
    assert got.startswith("E"), "too few servers work"


@test("chains: in a list with another server", on=PLAIN)
def _(w):
    for first, second in ((CLOSED, FAR), (GOOD, 'address = "%s" port = %d' % (bed.TARGET4, s.REFUSED)),
                          (GOOD, FAR_AUTH.replace("pass:w@rd", "wrong"))):
        for how in ("", "nonblock"):
            rule = 'server "other" { address = "%s" %s }\nrule "all" { via = {"deep", "other"} }\n' % (bed.PROXY4, MICRO)
            got, err = Chain(w, first, second, rule=rule).probe(how)
            assert got == "ok" and "trying other" in err, (got, err)


@test("chains: 200 MB come through unchanged", on=PLAIN, slow=5)
def _(w):
    block = bytes(range(256)) * 4096
    with open(w.scratch + "/www/200m", "wb") as f:
        for n in range(200):
            f.write(b"%1024d" % n + block[1024:])
    try:
        want = subprocess.run(["sha256sum", f.name], stdout=subprocess.PIPE, check=True, timeout=60).stdout.split()[0]
        command = "%s http://both.example/200m | sha256sum" % " ".join(CURL)
        status, out, err = Chain(w, GOOD, FAR_MICRO, FAR_AUTH, timeout=30).run(["sh", "-c", command], 90)
        assert status == 0 and out.split()[0] == want, (status, out, err)
    finally:
        os.unlink(f.name)


@test("chains: --check tries the first server, and --explain shows all", on=PLAIN)
def _(w):
    for first, code, finding in ((GOOD, 0, "unknown"), (CLOSED, 1, "fail")):
        chain = Chain(w, first, FAR_NAMED)
        status, out, err = bed.run(bed.CLIENT, [w.socksify, "--check", "--json", "-c", chain.conf], chain.env, 60)
        groups = {str(group): group["rows"] for group in json.loads(out)["checks"]}
        rows = [row for title, rows in groups.items() for row in rows if row["check"] == "servers"]
        assert status == code and len(rows) == 1 and rows[0]["finding"] == finding, (status, out, err)
        assert '"s0", "s1"' in rows[0]["detail"], rows
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "--explain", "example.org:443", "-c", chain.conf], chain.env)
    assert status == 0 and b'chain: "s0", "s1"\nmode: strict\n' in out and b"both.example:1095" in out, (status, out, err)


@test("chains: a listener is at the last server, and FTP works in active mode", on=PLAIN)
def _(w):
    for servers in ((GOOD, FAR), (AUTH, FAR_AUTH), (MICRO, FAR)):
        chain = Chain(w, *servers)
        listen_and_answer(chain)
        for host in (bed.TARGET4, bed.TARGET6, "both.example"):
            right(chain.run(["lftp", "-c", "set ftp:passive-mode no; set net:max-retries 2; set net:timeout 10; "
                             "open ftp://%s; cat index.html" % host.join("[]" if ":" in host else ("", ""))]), PAGE)
    got = Chain(w, GOOD, FAR_MICRO).run([PYTHON, "-c", LISTEN_NOW])
    assert got[:2] == (0, b"Operation not supported\n"), got


@test("chains: datagrams are refused, and the line says why", on=PLAIN)
def _(w):
    code = "import socket\nu = socket.socket(type=socket.SOCK_DGRAM)\ntry: u.sendto(b'x', ('%s', 7))\n" \
           "except OSError as e: print(e.strerror)" % bed.TARGET4
    status, out, err = Chain(w, GOOD, FAR).run([PYTHON, "-c", code])
    assert status == 0 and out.endswith(b"supported\n") and b'UDP through chain "deep"' in err, (status, out, err)


REPEATS = """
import socket, sys
for line in sys.stdin:
    c = socket.create_connection(('%s', %d)); c.sendall(b'x'); assert c.recv(1) == b'x'
    print('connected', flush=True)
""" % (bed.TARGET4, s.ECHO)


@test("chains: a reload replaces a server of the chain", on=PLAIN)
def _(w):
    chain = Chain(w, GOOD, FAR, FAR_AUTH)
    with open(chain.conf, encoding="ascii") as f:
        three = f.read()
    for text in (three.replace('"s1", ', ""), three, three.replace('"s0", ', "").replace('{"s1", "s2"}', '{"s0"}')):
        s.write(chain.conf, three)
        os.chmod(chain.conf, 0o600)
        command = bed.within(bed.CLIENT, [w.socksify, "-v", "-c", chain.conf, "--", PYTHON, "-c", REPEATS])
        with subprocess.Popen(command, env=chain.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as p:
            p.stdin.write("1\n")
            p.stdin.flush()
            assert p.stdout.readline() == "connected\n"
            s.write(chain.conf, text)
            done = bed.run(bed.CLIENT, [w.socksify, "--reload"], chain.env)
            assert done[0] == 0, done
            out, err = p.communicate("2\n", 30)
        assert p.returncode == 0 and out == "connected\n", (out, err)
        hops = [line.split("(")[1].split(")")[0] for line in err.splitlines() if "(s" in line]
        want = text.split("servers = {")[1].split("}")[0].replace('"', "")
        assert hops == ["s0, s1, s2", want], (hops, want, err)


def requests_of(hops):
    """What hops that are known to accept a whole negotiation at once receive, the first one of them directly. The last
    one is requested to connect to the target."""
    targets = [socket.inet_aton(bed.PROXY4) + struct.pack("!H", s.HOSTILE)] * (hops - 1)
    targets.append(socket.inet_aton(bed.TARGET4) + struct.pack("!H", s.ECHO))
    return b"".join(b"\5\1\0\5\1\0\1" + target for target in targets)


def answers_all(hops, cut=None):
    """A script: all hops in one. CUT: after that many octets of the answers the connection is closed."""
    whole = (CHOSEN + OK) * hops

    def script(t):
        while sum(map(len, t.c.server.received)) < len(requests_of(hops)):
            if not t.c.receive():
                return
        t.c.say_slowly(whole[:cut]) if cut is not None else t.c.say(whole)
        if cut is None:
            t.c.echo()
    return script


@test("chains: known hops get all messages in one write, so that a chain takes the round trips of one server",
      on=(PLAIN, ASAN))
def _(w):
    for hops in (2, 3, 16):
        for how in ("", "nonblock"):
            play(w, answers_all(hops))
            assert Chain(w, *[HOSTILE + " pipeline = on"] * hops).probe(how) == ("ok", "")
            assert w.hostile.received[0] == requests_of(hops), (hops, w.hostile.received)


@test("chains: hops that close, or lie, at each octet of their answers", on=(PLAIN, ASAN), slow=5)
def _(w):
    whole = len(CHOSEN + OK) * 2
    chain = Chain(w, *[HOSTILE + " pipeline = on"] * 2)
    for cut in range(whole):
        play(w, answers_all(2, cut))
        got, err = chain.probe("nonblock" if cut % 2 else "")
        assert got in ("ECONNREFUSED", "EPROTO", "EACCES", "ECONNRESET"), (cut, got, err)
        assert err.count("\n") <= 1, (cut, err)
    for at in range(whole):
        def script(t, at=at):
            t.c.receive()
            lie = bytearray((CHOSEN + OK) * 2)
            lie[at] ^= 0x5a
            t.c.say(bytes(lie))
            t.c.echo()
        play(w, script)
        got, err = chain.probe("nonblock" if at % 2 else "")
        assert got == "ok" or got.startswith("E"), (at, got, err)


CHURN = """
import socket, threading
def work(n):
    for i in range(8):
        try:
            c = socket.create_connection(('%s', %d), 60)
            c.sendall(b'%%d' %% n); assert c.recv(9) == b'%%d' %% n; c.close()
        except ConnectionError: pass
threads = [threading.Thread(target=work, args=(n,)) for n in range(64)]
for t in threads: t.start()
for t in threads: t.join()
print('done')
""" % (bed.TARGET4, s.ECHO)


@test("chains: 64 threads while servers go up and down", on=(PLAIN, ASAN), slow=10)
def _(w):
    turns = itertools.count()

    def sometimes(t):
        if next(turns) % 3:
            t.serve()
    play(w, sometimes)
    chain = Chain(w, HOSTILE, MICRO, SSH, chain='mode = "dynamic"', timeout=30)
    right(chain.run([PYTHON, "-c", CHURN], 90, ()), b"done")


PROXYCHAINS = """%s
proxy_dns
tcp_read_time_out 4000
tcp_connect_time_out 2000
[ProxyList]
%s"""


@test("chains: what is imported from proxychains connects, or fails, as proxychains4 does", on=PLAIN, slow=20)
def _(w):
    one, two, dead = ["socks5 %s %d" % (bed.PROXY4, port) for port in (s.MICROSOCKS, s.SSH_D, s.CLOSED)]
    for kind in ("strict_chain", "dynamic_chain", "random_chain\nchain_len = 1", "round_robin_chain\nchain_len = 2"):
        for proxies in ((one, two), (dead, one, two), (one, dead, two), (one, dead), (dead, dead)):
            path = s.write("%s/proxychains.conf" % w.scratch, PROXYCHAINS % (kind, "\n".join(proxies)))
            command = CURL + ["http://%s/" % bed.TARGET4]
            theirs = bed.run(bed.CLIENT, ["proxychains4", "-q", "-f", path, *command], w.env, 60)
            imported = bed.run(bed.CLIENT, [w.socksify, "--import", path], w.env)[1].decode()
            conf = s.write("%s/imported.conf" % w.scratch, imported)
            ours = bed.run(bed.CLIENT, [w.socksify, "-c", conf, "--", *command],
                           dict(w.env, XDG_CACHE_HOME="%s/imported-%d" % (w.scratch, next(_fresh))), 60)
            works = {"s": dead not in proxies, "d": proxies != (dead, dead), "r": proxies != (dead, dead)}[kind[0]]
            if kind[1] == "o" and proxies == (one, dead):
                works = False  # of two servers both are needed
            assert (ours[0] == 0) == works, (kind, proxies, ours)
            if kind[0] != "r":  # in the other modes proxychains4 does not always try a second time
                assert (theirs[0] == 0) == works, (kind, proxies, theirs)
