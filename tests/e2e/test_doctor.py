"""The doctor's diagnosis of real servers, of what is none, and of programs; and what the importers make
of other programs' files, used."""

import json
import os
import re
import socket
import threading

import bed
import kerberos
import servers as s
import test_gssapi
from hostile import CHOSEN, OK, Talk
from world import CURL, PAGE, URL4, right, test

AUTH = s.USER + ":" + s.PASSWORD.replace(":", "%3A").replace("@", "%40").replace("/", "%2F")
PORT = 2077  # TCP and UDP echo, for the doctor alone


class Echo:
    """Both kinds of echo at TARGET4, as long as the block lasts."""

    def __enter__(self):
        with bed.inside(bed.TARGET):
            self.tcp = socket.create_server((bed.TARGET4, PORT))
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind((bed.TARGET4, PORT))
        for serve in (self._accept, self._answer):
            threading.Thread(target=serve, daemon=True).start()

    def __exit__(self, *_):
        for each in (self.tcp, self.udp):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def _accept(self):
        try:
            while True:
                self.tcp.accept()[0].close()
        except OSError:
            pass

    def _answer(self):
        try:
            while True:
                data, peer = self.udp.recvfrom(2048)
                self.udp.sendto(data, peer)
        except (OSError, TypeError):  # shut down
            pass


def doctor(w, url, *more, seconds=90):
    """{check: (finding, detail, advice)} of all groups, after holding table and JSON against each
    other; and the exit status."""
    command = [w.socksify, "--check", "--json"] + (["-x", url] if url else []) + list(more)
    status, out, err = bed.run(bed.CLIENT, command, w.env, seconds)
    assert not err, err
    told = json.loads(out)
    rows = {}
    for group in told["checks"]:
        for row in group["rows"]:
            rows[row["check"]] = (row["finding"], row["detail"], row.get("advice", ""))
    assert (status != 0) == (told["result"] == "fail") == ("fail" in [r[0] for r in rows.values()]), (
        status, told)
    # Datagrams to a relay, and nothing but those, may go past the servers' ports.
    relays = re.compile(r"link: (UDP|ICMP|ICMPv6) (%s|%s) .*to (%s|%s)( |$)" % (
        bed.CLIENT4, bed.CLIENT6, bed.PROXY4, bed.PROXY6))
    caught = [c for c in w.trap.take() if not relays.match(c)]
    assert not caught, caught
    return rows, status


def expect(rows, **findings):
    for check, expected in findings.items():
        is_, words = expected if isinstance(expected, tuple) else (expected, "")
        finding, detail, advice = rows.get(check.replace("_", "-"), ("none", "", ""))
        assert finding in is_.split("|") and words in detail + " " + advice, (check, expected, rows)


def via(port, user=""):
    return "socks5h://%s%s:%d" % (user and user + "@", bed.PROXY4, port)


TARGET = "--target=%s:%d" % (bed.TARGET4, PORT)


@test("doctor: danted does everything")
def _(w):
    with Echo():
        rows, status = doctor(w, via(s.DANTED), TARGET)
    expect(rows, syntax="ok", reach_ipv4="ok", reach_ipv6="no", method=("ok", "selects none"),
           authentication="ok", connect="ok", names="ok", bind=("ok", "listens at"),
           udp=("ok", "there and back"), pipelining="ok", round_trip="ok")
    assert status == 0, rows


@test("doctor: danted over IPv6, an IPv6 target")
def _(w):
    rows, status = doctor(w, "socks5h://[%s]:%d" % (bed.PROXY6, s.DANTED),
                          "--target=[%s]:%d" % (bed.TARGET6, s.ECHO))
    w.trap.take()
    expect(rows, reach_ipv6="ok", connect="ok", ipv6="ok")
    assert status == 0, rows


@test("doctor: danted with a password: right, wrong, none")
def _(w):
    with Echo():
        rows, status = doctor(w, via(s.DANTED_AUTH, AUTH), TARGET)
        expect(rows, method=("ok", "selects userpass; takes userpass"), authentication="ok",
               connect="ok", udp="ok", pipelining="ok")
        assert status == 0, rows
        rows, status = doctor(w, via(s.DANTED_AUTH, s.USER + ":wrong"), TARGET)
        expect(rows, method="ok", authentication=("fail", "refused"))
        assert status == 1 and "connect" not in rows, rows
        assert "wrong" not in json.dumps(rows), rows
        rows, status = doctor(w, via(s.DANTED_AUTH), TARGET)
    expect(rows, method=("fail", "it takes userpass"))
    expect(rows, method=("fail", "give a username"))
    assert status == 1, rows


@test("doctor: microsocks does CONNECT alone, and no pipelining")
def _(w):
    with Echo():
        rows, status = doctor(w, via(s.MICROSOCKS), TARGET)
    expect(rows, method="ok", connect="ok", names="ok", bind=("no", "not supported"),
           udp=("no", "not supported"), pipelining="no")
    assert status == 0, rows


@test("doctor: ssh -D does CONNECT alone")
def _(w):
    with Echo():
        rows, status = doctor(w, via(s.SSH_D), TARGET)
    expect(rows, method=("ok", "selects none"), connect="ok", bind="no", udp="no", pipelining="ok")
    assert status == 0, rows


@test("doctor: a server that wants Kerberos: with a ticket, without, and without offering it")
def _(w):
    k = test_gssapi.krb(w)

    def asked(env, *more):
        words = k.words(env) + [w.socksify, "--check", "--json", TARGET] + list(more)
        status, out, err = bed.run(bed.CLIENT, ["env"] + words, w.env, 90)
        assert not err, err
        rows = {r["check"]: (r["finding"], r["detail"], r.get("advice", ""))
                for g in json.loads(out)["checks"] for r in g["rows"]}
        return rows, status
    with Echo():
        rows, status = asked(k.realm.client, "-c", k.conf("integrity"))
        expect(rows, method=("ok", "selects gssapi; takes gssapi"), bind="ok",
               authentication=("ok", "protection: integrity"), connect="ok",
               udp=("unknown", "sealed"), pipelining="no")
        assert status == 0, rows
        empty = dict(k.realm.client, KRB5CCNAME="FILE:%s/no-tickets" % w.scratch)
        rows, status = asked(empty, "-c", k.conf("integrity"))
        assert status == 1 and "connect" not in rows, rows
        failed = [r for r in rows.values() if r[0] == "fail"]
        assert len(failed) == 1 and "klist" in failed[0][2], rows
        rows, status = doctor(w, via(kerberos.GSSAPI), TARGET)
    expect(rows, method=("fail", "it takes gssapi"))
    expect(rows, method=("fail", "Kerberos"))
    assert status == 1, rows


@test("doctor: a target that refuses, through danted and ssh -D")
def _(w):
    to = "--target=%s:%d" % (bed.TARGET4, s.REFUSED)
    rows, status = doctor(w, via(s.DANTED), to)
    expect(rows, connect=("fail", "connection refused"))
    expect(rows, connect=("fail", "nothing listens at the target"))
    assert status == 1
    rows, status = doctor(w, via(s.SSH_D), to)
    expect(rows, connect=("fail", "closed without a reply"))
    assert status == 1


@test("doctor: without a target every server answers for itself")
def _(w):
    for port in (s.DANTED, s.MICROSOCKS, s.SSH_D):
        rows, status = doctor(w, via(port))
        expect(rows, connect="ok|unknown", method="ok")
        assert status == 0, rows


@test("doctor: a closed port")
def _(w):
    rows, status = doctor(w, via(s.CLOSED))
    expect(rows, reach_ipv4=("fail", "connection refused"))
    expect(rows, reach_ipv4=("fail", "nothing listens there"))
    assert status == 1 and "method" not in rows


@test("doctor: a port that never answers")
def _(w):
    rows, status = doctor(w, via(s.BLACK_HOLE))
    expect(rows, reach_ipv4=("fail", "timed out"))
    expect(rows, reach_ipv4=("fail", "firewall"))
    assert status == 1


@test("doctor: a server that takes the connection and is silent")
def _(w):
    w.hostile.play(lambda c: c.hang())
    rows, status = doctor(w, via(s.HOSTILE))
    expect(rows, reach_ipv4="ok", method=("fail", "says nothing"))
    assert status == 1


@test("doctor: an HTTP server, one that answers anything and one that waits for a line")
def _(w):
    def at_once(c):
        c.negotiation()
        c.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    def by_line(c):
        while b"\n" not in c.negotiation():
            pass
        c.say(b"HTTP/1.0 200 OK\r\n\r\n")
    for script in (at_once, by_line):
        w.hostile.play(script)
        rows, status = doctor(w, via(s.HOSTILE))
        expect(rows, method=("fail", "an HTTP server"))
        assert status == 1


@test("doctor: servers of other protocols, and one that hangs up")
def _(w):
    for said, words in ((b"SSH-2.0-x\r\n", "an SSH server"), (b"\x15\x03\x01\0\2\2\x46", "a TLS server"),
                        (b"\0\x5b" + bytes(6), "SOCKS4"), (b"xyz", "does not speak SOCKS5"),
                        (b"", "closes the connection")):
        def script(c, said=said):
            c.negotiation()
            c.say(said)
        w.hostile.play(script)
        rows, status = doctor(w, via(s.HOSTILE))
        expect(rows, method=("fail", words))
        assert status == 1


@test("doctor: a server that does no command at all")
def _(w):
    def script(c):
        t = Talk(c)
        t.greeting()
        c.say(CHOSEN)
        c.negotiation()
        c.say(bytes([5, 7]) + OK[2:])
    w.hostile.play(script)
    rows, status = doctor(w, via(s.HOSTILE))
    expect(rows, connect=("fail", "does not do CONNECT"), bind="no", udp="no")
    assert status == 1


@test("doctor: a configuration with a mistake, one without a server, a name nobody knows")
def _(w):
    path = s.write(w.scratch + "/doctor.conf", 'server "p" {\n address = "10.0.0.1"\n port = 0\n}\n')
    rows, status = doctor(w, None, "-c", path)
    expect(rows, syntax=("fail", path + ":3: "))
    assert status == 125
    s.write(path, 'rule "x" { via = "direct" }\n')
    rows, status = doctor(w, None, "-c", path)
    expect(rows, syntax="ok", address=("fail", "no rule leads to a server"))
    assert status == 1


@test("doctor: programs")
def _(w):
    for program, finding, words in (("curl", "ok", "64-bit"), ("/sbin/ldconfig", "fail", "static"),
                                    ("gron", "fail", "Go"),
                                    ("no-such-program", "fail", "No such file"),
                                    ("/etc/passwd", "fail", "")):
        rows, _ = doctor(w, via(s.CLOSED), program)
        expect(rows, covered=(finding, words))


@test("doctor: the table says what the JSON says")
def _(w):
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "--check", "-x", via(s.CLOSED)], w.env)
    text = out.decode()
    assert status == 1 and not err and "FAIL     connection refused" in text, (text, err)
    assert "-> " in text and "\033" not in text, text
    for wrong in (["--json", "true"], ["--target", "x:1", "true"], ["--check", "--target", "x"]):
        status, out, err = bed.run(bed.CLIENT, [w.socksify] + wrong, w.env)
        assert status == 125 and not out and err.count(b"\n") == 1, (wrong, status, out, err)


# --- imported ---

IMPORTED = {
    "proxychains.conf": "strict_chain\nproxy_dns\n[ProxyList]\nsocks5 %(p)s %(port)d %(u)s %(w)s\n",
    "tsocks.conf": "local = 10.99.0.0/255.255.0.0\nserver = %(p)s\nserver_type = 5\n"
                   "server_port = %(port)d\ndefault_user = %(u)s\ndefault_pass = %(w)s\n",
    "torsocks.conf": "TorAddress %(p)s\nTorPort %(port)d\nSOCKS5Username %(u)s\n"
                     "SOCKS5Password %(w)s\n",
    "socks.conf": "resolveprotocol: fake\nroute {\n  from: 0.0.0.0/0 to: 0.0.0.0/0 via: %(p)s "
                  "port = %(port)d\n  proxyprotocol: socks_v5\n  method: username none\n}\n",
}


def imported(w, name, text):
    path = s.write(w.scratch + "/" + name, text % {"p": bed.PROXY4, "port": s.DANTED_AUTH,
                                                   "u": s.USER, "w": s.PASSWORD})
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "--import", path], w.env)
    assert status == 0 and not err, (status, out, err)
    conf = s.write(w.scratch + "/imported.conf", out.decode())
    os.chmod(conf, 0o600)
    env = dict(w.env, SOCKS5_USER=s.USER, SOCKS5_PASSWD=s.PASSWORD)
    right(w.configured(conf, CURL + [URL4], env, 40), PAGE)


for NAME, TEXT in IMPORTED.items():
    test("import: %s leads through danted" % NAME)(
        lambda w, name=NAME, text=TEXT: imported(w, name, text))


@test("import: what is no such file")
def _(w):
    path = s.write(w.scratch + "/some.conf", "nothing of the kind\n")
    for name in (path, w.scratch + "/not-there", w.scratch):
        status, out, err = bed.run(bed.CLIENT, [w.socksify, "--import", name], w.env)
        assert status == 125 and not out and err.count(b"\n") == 1, (status, out, err)
