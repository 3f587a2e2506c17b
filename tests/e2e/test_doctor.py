"""The diagnosis by --check of real servers, of servers that are not SOCKS5 servers, and of programs; and the use of
configuration files imported from other programs."""

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
PORT = 2077  # TCP and UDP echo, only for --check


class Echo:
    """TCP and UDP echo services at TARGET4 while the block runs."""

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


def diagnose(w, url, *more, seconds=90):
    """Runs --check --json: {check: (finding, detail, advice)} of all groups, and the exit status, which must agree
    with the findings."""
    command = [w.socksify, "--check", "--json"] + (["-x", url] if url else []) + list(more)
    status, out, err = bed.run(bed.CLIENT, command, w.env, seconds)
    assert not err, err
    report = json.loads(out)
    rows = {}
    for group in report["checks"]:
        for row in group["rows"]:
            rows[row["check"]] = (row["finding"], row["detail"], row.get("advice", ""))
    assert (status != 0) == (report["result"] == "fail") == ("fail" in [r[0] for r in rows.values()]), (
        status, report)
    # Only datagrams to a relay may go to other ports than those of the servers.
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


@test("check: danted supports CONNECT, BIND, UDP, names and pipelining")
def _(w):
    with Echo():
        rows, status = diagnose(w, via(s.DANTED), TARGET)
    expect(rows, syntax="ok", reach_ipv4="ok", reach_ipv6="no", method=("ok", "selects none"),
           authentication="ok", connect="ok", names="ok", bind=("ok", "listens at"),
           udp=("ok", "there and back"), pipelining="ok", round_trip="ok")
    assert status == 0, rows


@test("check: danted is reached over IPv6 and connects to an IPv6 target")
def _(w):
    rows, status = diagnose(w, "socks5h://[%s]:%d" % (bed.PROXY6, s.DANTED),
                          "--target=[%s]:%d" % (bed.TARGET6, s.ECHO))
    w.trap.take()
    expect(rows, reach_ipv6="ok", connect="ok", ipv6="ok")
    assert status == 0, rows


@test("check: danted with a password: the right one is accepted, a wrong one and none are reported")
def _(w):
    with Echo():
        rows, status = diagnose(w, via(s.DANTED_AUTH, AUTH), TARGET)
        expect(rows, method=("ok", "selects userpass; accepts userpass"), authentication="ok",
               connect="ok", udp="ok", pipelining="ok")
        assert status == 0, rows
        rows, status = diagnose(w, via(s.DANTED_AUTH, s.USER + ":wrong"), TARGET)
        expect(rows, method="ok", authentication=("fail", "refused"))
        assert status == 1 and "connect" not in rows, rows
        assert "wrong" not in json.dumps(rows), rows
        rows, status = diagnose(w, via(s.DANTED_AUTH), TARGET)
    expect(rows, method=("fail", "it accepts userpass"))
    expect(rows, method=("fail", "give a username"))
    assert status == 1, rows


def groups_of(w, conf, *more, **env):
    """Runs --check --json with CONF: {(about, name): {check: (finding, detail)}}, and the exit status."""
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "-c", conf, "--check", "--json", *more], dict(w.env, **env), 60)
    assert not err, err
    w.trap.take()  # datagrams to relays
    report = json.loads(out)
    assert (status != 0) == (report["result"] == "fail"), (status, out)
    return {(g["about"], g["name"]): {row["check"]: (row["finding"], row["detail"]) for row in g["rows"]}
            for g in report["checks"]}, status


LISTS = """server "good" { address = "%(at)s" port = %(good)d }
server "bad" { address = "%(at)s" port = %(closed)d }
server "worse" { address = "nobody.example.invalid" }
server "fine" { address = "%(at)s" port = %(fine)d }
server "closed" { address = "%(at)s" port = 9 }
"""


@test("check: a rule with several servers needs one that works")
def _(w):
    at = {"at": bed.PROXY4, "good": s.DANTED, "closed": s.CLOSED, "fine": s.MICROSOCKS}
    cache = {"XDG_CACHE_HOME": w.scratch + "/check-cache"}

    def conf(text):
        return s.write(w.scratch + "/check-lists.conf", LISTS % at + text)
    good, bad, worse = [("server", name) for name in ('"good" at %s port %d' % (bed.PROXY4, s.DANTED),
                                                      '"bad" at %s port %d' % (bed.PROXY4, s.CLOSED),
                                                      '"worse" at nobody.example.invalid port 1080')]
    groups, status = groups_of(w, conf('rule "all" { via = {"bad", "good", "worse"} pick = "random" }'), **cache)
    assert status == 0 and groups[good]["connect"][0] == "ok", groups
    assert groups[bad]["reach-ipv4"] == ("warning", "connection refused"), groups
    assert groups[worse]["address"][0] == "warning" and "known" not in groups[bad], groups
    assert groups["rule", '"all"'] == {
        "order": ("ok", '"bad", "good", "worse", in random order'),
        "servers": ("warning", '1 of 3 work, without "bad", "worse"')}, groups
    groups, status = groups_of(w, conf('rule "all" { via = {"good", "fine"} }'), **cache)
    assert status == 0 and groups["rule", '"all"']["servers"] == ("ok", "all 2 work"), groups
    groups, status = groups_of(w, conf('rule "all" { via = {"bad", "closed"} }'), **cache)
    assert status == 1 and groups["rule", '"all"']["servers"] == ("fail", "none of 2 works"), groups
    # Another rule needs the bad server.
    text = 'rule "one" { to = "192.0.2.1" via = "bad" } rule "all" { via = {"bad", "good"} }'
    groups, status = groups_of(w, conf(text), **cache)
    assert status == 1 and groups[bad]["reach-ipv4"][0] == "fail", groups
    assert groups["rule", '"all"']["servers"][0] == "warning", groups
    # What connections have learnt.
    both = conf('rule "all" { via = {"bad", "good"} }')
    right(bed.run(bed.CLIENT, [w.socksify, "-c", both, "--"] + CURL + [URL4], dict(w.env, **cache)), PAGE)
    groups, status = groups_of(w, both, **cache)
    finding, detail = groups[bad]["known"]
    assert status == 0 and finding in ("warning", "ok") and "it failed" in detail and " s ago" in detail, groups
    status, out, _ = bed.run(bed.CLIENT, [w.socksify, "-c", both, "--check"], dict(w.env, **cache), 60)
    w.trap.take()
    assert status == 0 and b"All required checks passed." in out and b"warning" in out and b"FAIL" not in out, out


@test("check: microsocks supports only CONNECT, without pipelining")
def _(w):
    with Echo():
        rows, status = diagnose(w, via(s.MICROSOCKS), TARGET)
    expect(rows, method="ok", connect="ok", names="ok", bind=("no", "not supported"),
           udp=("no", "not supported"), pipelining="no")
    assert status == 0, rows


@test("check: ssh -D supports only CONNECT")
def _(w):
    with Echo():
        rows, status = diagnose(w, via(s.SSH_D), TARGET)
    expect(rows, method=("ok", "selects none"), connect="ok", bind="no", udp="no", pipelining="ok")
    assert status == 0, rows


@test("check: a server that requires Kerberos, with a ticket, without one, and without the method gssapi")
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
        expect(rows, method=("ok", "selects gssapi; accepts gssapi"), bind="ok",
               authentication=("ok", "protection: integrity"), connect="ok",
               udp=("unknown", "protected"), pipelining="no")
        assert status == 0, rows
        empty = dict(k.realm.client, KRB5CCNAME="FILE:%s/no-tickets" % w.scratch)
        rows, status = asked(empty, "-c", k.conf("integrity"))
        assert status == 1 and "connect" not in rows, rows
        failed = [r for r in rows.values() if r[0] == "fail"]
        assert len(failed) == 1 and "klist" in failed[0][2], rows
        rows, status = diagnose(w, via(kerberos.GSSAPI), TARGET)
    expect(rows, method=("fail", "it accepts gssapi"))
    expect(rows, method=("fail", "Kerberos"))
    assert status == 1, rows


@test("check: a target that refuses connections is reported, through danted and ssh -D")
def _(w):
    to = "--target=%s:%d" % (bed.TARGET4, s.REFUSED)
    rows, status = diagnose(w, via(s.DANTED), to)
    expect(rows, connect=("fail", "connection refused"))
    expect(rows, connect=("fail", "nothing listens at the target"))
    assert status == 1
    rows, status = diagnose(w, via(s.SSH_D), to)
    expect(rows, connect=("fail", "closed without a reply"))
    assert status == 1


@test("check: without a target the checks of every server pass")
def _(w):
    for port in (s.DANTED, s.MICROSOCKS, s.SSH_D):
        rows, status = diagnose(w, via(port))
        expect(rows, connect="ok|unknown", method="ok")
        assert status == 0, rows


@test("check: a closed port is reported as connection refused")
def _(w):
    rows, status = diagnose(w, via(s.CLOSED))
    expect(rows, reach_ipv4=("fail", "connection refused"))
    expect(rows, reach_ipv4=("fail", "nothing listens there"))
    assert status == 1 and "method" not in rows


@test("check: a port that never answers is reported as a timeout")
def _(w):
    rows, status = diagnose(w, via(s.BLACK_HOLE))
    expect(rows, reach_ipv4=("fail", "timed out"))
    expect(rows, reach_ipv4=("fail", "firewall"))
    assert status == 1


@test("check: a server that accepts the connection and does not reply is reported")
def _(w):
    w.hostile.play(lambda c: c.hang())
    rows, status = diagnose(w, via(s.HOSTILE))
    expect(rows, reach_ipv4="ok", method=("fail", "sends nothing"))
    assert status == 1


@test("check: HTTP servers are recognised, whether they answer at once or wait for a line")
def _(w):
    def at_once(c):
        c.receive()
        c.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    def by_line(c):
        while b"\n" not in c.receive():
            pass
        c.say(b"HTTP/1.0 200 OK\r\n\r\n")
    for script in (at_once, by_line):
        w.hostile.play(script)
        rows, status = diagnose(w, via(s.HOSTILE))
        expect(rows, method=("fail", "an HTTP server"))
        assert status == 1


@test("check: servers of other protocols are recognised, and one that closes the connection")
def _(w):
    for said, words in ((b"SSH-2.0-x\r\n", "an SSH server"), (b"\x15\x03\x01\0\2\2\x46", "a TLS server"),
                        (b"\0\x5b" + bytes(6), "SOCKS4"), (b"xyz", "the reply is not SOCKS5"),
                        (b"", "closes the connection")):
        def script(c, said=said):
            c.receive()
            c.say(said)
        w.hostile.play(script)
        rows, status = diagnose(w, via(s.HOSTILE))
        expect(rows, method=("fail", words))
        assert status == 1


@test("check: a server that supports no command is reported")
def _(w):
    def script(c):
        t = Talk(c)
        t.greeting()
        c.say(CHOSEN)
        c.receive()
        c.say(bytes([5, 7]) + OK[2:])
    w.hostile.play(script)
    rows, status = diagnose(w, via(s.HOSTILE))
    expect(rows, connect=("fail", "does not support CONNECT"), bind="no", udp="no")
    assert status == 1


@test("check: a mistake in the configuration and a configuration without a server are reported")
def _(w):
    path = s.write(w.scratch + "/diagnose.conf", 'server "p" {\n address = "10.0.0.1"\n port = 0\n}\n')
    rows, status = diagnose(w, None, "-c", path)
    expect(rows, syntax=("fail", path + ":3: "))
    assert status == 125
    s.write(path, 'rule "x" { via = "direct" }\n')
    rows, status = diagnose(w, None, "-c", path)
    expect(rows, syntax="ok", address=("fail", "no rule selects a server"))
    assert status == 1


@test("check: for each program it is reported whether it can be covered")
def _(w):
    for program, finding, words in (("curl", "ok", "64-bit"), ("/sbin/ldconfig", "ok", "static"),
                                    ("gron", "ok", "Go"),
                                    ("no-such-program", "fail", "No such file"),
                                    ("/etc/passwd", "fail", "")):
        rows, _ = diagnose(w, via(s.CLOSED), program)
        expect(rows, covered=(finding, words))


@test("check: the engine that is chosen for the program is named")
def _(w):
    conf = s.write(w.scratch + "/home/engines.conf", 'server "p" { address = "%s" port = %d }\nrule "all" { via = {"p"} }\n'
                   'namespace-programs = {"curl"}\npreload-programs = {"gron"}\n' % (bed.PROXY4, s.CLOSED))
    for options, program, finding, words in (
            (("--engine=preload",), "gron", "fail", "Go"), (("--engine=namespace",), "curl", "ok", "by a network namespace"),
            (("--strict",), "curl", "ok", "by a network namespace"), (("--engine=auto",), "curl", "ok", "by the preload"),
            (("-c", conf), "curl", "ok", "by a network namespace"), (("-c", conf), "gron", "fail", "Go"),
            (("-c", conf), "wget", "ok", "by the preload object")):
        rows, _ = diagnose(w, None if "-c" in options else via(s.CLOSED), *options, program)
        expect(rows, covered=(finding, words))


@test("check: the table has the finding and its advice, and wrong options are refused")
def _(w):
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "--check", "-x", via(s.CLOSED)], w.env)
    text = out.decode()
    assert status == 1 and not err and "FAIL     connection refused" in text, (text, err)
    assert "-> " in text and "\033" not in text, text
    for wrong in (["--json", "true"], ["--target", "x:1", "true"], ["--check", "--target", "x"]):
        status, out, err = bed.run(bed.CLIENT, [w.socksify] + wrong, w.env)
        assert status == 125 and not out and err.count(b"\n") == 1, (wrong, status, out, err)


# --- imported files ---

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
    test("import: a program connects through danted with the imported %s" % NAME)(
        lambda w, name=NAME, text=TEXT: imported(w, name, text))


@test("import: files that cannot be imported are refused with one line")
def _(w):
    path = s.write(w.scratch + "/some.conf", "nothing of the kind\n")
    for name in (path, w.scratch + "/not-there", w.scratch):
        status, out, err = bed.run(bed.CLIENT, [w.socksify, "--import", name], w.env)
        assert status == 125 and not out and err.count(b"\n") == 1, (status, out, err)
