"""Rules with several servers, of which some are reached over socks5-bridge: GSSAPI, and servers behind UNIX sockets."""

import os
import time

import bed
import kerberos
import servers as s
import test_several as several
from test_several import CLOSED, GOOD, SILENT, Case, never_answers, play, replies
from test_unix import unix_socket
from world import ASAN, CURL, PAGE, PLAIN, PYTHON, URL4, fine, right, test

GSSAPI = 'address = "%s" methods = {"gssapi"} ' % kerberos.NAME
WITH_GSSAPI = GSSAPI + "port = %d" % kerberos.GSSAPI
PROGRAMS = ("tcp_blocking", "tcp_nonblock_poll", "epoll_before", "epoll_after", "options_kept")


def unix(w, port):
    return 'address = "%s"' % unix_socket(w, port)


def nobody(w):
    return 'address = "%s/nobody"' % w.scratch


class Kerberos(Case):
    """A Case whose user has a ticket, or the one of CACHE."""

    def __init__(self, w, *servers, cache=None, **more):
        super().__init__(w, *servers, **more)
        self.env.update(kerberos.krb(w).realm.client)
        if cache:
            self.env["KRB5CCNAME"] = cache


# What is wrong with the first server: its keys, the script of the scripted server, more arguments of the Case.
FAULTS = {
    "refuses connections": (lambda w: GSSAPI + CLOSED, None, {}),
    "does not accept connections": (lambda w: GSSAPI + SILENT, None, {}),
    "never answers": (lambda w: GSSAPI + several.HOSTILE, never_answers, {}),
    "is a web server": (lambda w: GSSAPI + several.HOSTILE, several.speaks_http, {}),
    "has another service": (lambda w: WITH_GSSAPI + ' gssapi-service = "nosuch"', None, {}),
    "needs a ticket": (lambda w: WITH_GSSAPI, None, {"cache": "FILE:/nonexistent"}),
    "does not support GSSAPI": (lambda w: GSSAPI + GOOD, None, {}),
    "is a UNIX socket without a listener": (nobody, None, {}),
    "never answers at a UNIX socket": (lambda w: unix(w, s.HOSTILE), never_answers, {}),
    "accepts no method at a UNIX socket": (lambda w: unix(w, s.HOSTILE), several.no_method, {}),
    "closes at once at a UNIX socket": (lambda w: unix(w, s.HOSTILE), several.closes_at_once, {}),
    "does not support the command at a UNIX socket": (lambda w: unix(w, s.HOSTILE), replies(7), {}),
    "does not support the address at a UNIX socket": (lambda w: unix(w, s.HOSTILE), replies(8), {}),
}

for NUMBER, (LABEL, (WORDS, SCRIPT, MORE)) in enumerate(FAULTS.items()):
    @test("several: behind the bridge: the next server is used if the first one " + LABEL,
          on=(PLAIN, ASAN) if NUMBER < 2 else ASAN)
    def _(w, words=WORDS, script=SCRIPT, more=MORE):
        for name in PROGRAMS:
            play(w, script or never_answers)
            fine(Kerberos(w, words(w), GOOD, **more).run([w.app(name), bed.TARGET4, str(s.ECHO)]))


@test("several: behind the bridge: many connections at once, threads, forks", on=(PLAIN, ASAN))
def _(w):
    for words in (GSSAPI + CLOSED, nobody(w)):
        for name in ("connect_500", "epoll_thread", "poll_shared", "exec_inherit", "fork_connecting"):
            fine(Kerberos(w, words, GOOD, timeout=30).run([w.app(name), bed.TARGET4, str(s.ECHO)], 80))


@test("several: behind the bridge: the second server is behind it, too", on=(PLAIN, ASAN))
def _(w):
    for servers in ((CLOSED, WITH_GSSAPI), (nobody(w), WITH_GSSAPI), (GSSAPI + CLOSED, unix(w, s.DANTED))):
        right(Kerberos(w, *servers).run(CURL + ["http://both.example/"]), PAGE)


@test("several: behind the bridge: what is down is remembered, of the server and not of the bridge", on=PLAIN)
def _(w):
    case = Kerberos(w, GSSAPI + CLOSED, unix(w, s.DANTED), GOOD, timeout=5)
    command = ["sh", "-c", "for i in 1 2 3; do %s %s %d; done" % (w.app("probe"), bed.TARGET4, s.ECHO)]
    status, out, err = case.run(command)
    assert (status, out) == (0, b"ok\nok\nok\n"), (status, out, err)
    assert err.count(b'server "s0": connection refused; trying s1') == 1 and err.count(b'via "s1": connected') == 3, err
    out, err = case.probe()
    assert out == "ok" and "s0" not in err, err
    # Support of a command is not.
    play(w, replies(7))
    case = Case(w, unix(w, s.HOSTILE), GOOD, timeout=5)
    for _ in range(2):
        out, err = case.probe()
        assert out == "ok" and 'server "s0": command not supported; trying s1' in err, err


@test("several: behind the bridge: replies about the target are the program's", on=(PLAIN, ASAN))
def _(w):
    for code, errno in ((1, "ECONNABORTED"), (2, "EACCES"), (3, "ENETUNREACH"), (4, "EHOSTUNREACH"),
                        (5, "ECONNREFUSED"), (6, "ETIMEDOUT"), (9, "EPROTO"), (0xa5, "EPROTO"), (0xc5, "EPROTO"),
                        (0xe5, "EPROTO")):
        play(w, replies(code))
        for how in ("", "nonblock"):
            got, err = Case(w, unix(w, s.HOSTILE), GOOD).probe(how)
            assert got == errno and "trying" not in err, (code, got, err)
    play(w, replies(2))
    got, err = Case(w, unix(w, s.HOSTILE), GOOD, rule='next-on = "not-allowed"').probe()
    assert got == "ok", (got, err)
    got, err = Kerberos(w, WITH_GSSAPI, GOOD).probe(port=11)
    assert got == "ECONNREFUSED" and "trying" not in err, (got, err)


@test("several: only the bridge can say that a server is down", on=PLAIN)
def _(w):
    for code in (0xa5, 0xc5, 0xe5):
        play(w, replies(code))
        got, err = Case(w, several.HOSTILE + " pipeline = on", GOOD).probe()
        assert got == "EPROTO" and "trying" not in err, (got, err)


test("several: behind the bridge: a server that closes in place of replies is passed over after the third time",
     on=PLAIN)(lambda w: several.passed_over_at_the_third_time(w, unix(w, s.HOSTILE)))


@test("several: behind the bridge: the error without a further server is the one of a single server", on=(PLAIN, ASAN))
def _(w):
    play(w, never_answers)
    for words, more in ((GSSAPI + CLOSED, {}), (GSSAPI + SILENT, {}), (WITH_GSSAPI + ' gssapi-service = "nosuch"', {}),
                        (WITH_GSSAPI, {"cache": "FILE:/nonexistent"}), (nobody(w), {}), (unix(w, s.HOSTILE), {})):
        for how in ("", "nonblock"):
            one = Kerberos(w, words, timeout=2, **more).probe(how)[0]
            two = Kerberos(w, words, words, timeout=2, **more).probe(how)[0]
            assert one == two and one in ("ECONNREFUSED", "ETIMEDOUT", "EACCES"), (words, one, two)


@test("several: behind the bridge: a slow target has the whole time of its server", on=PLAIN)
def _(w):
    play(w, several.answers_late)
    for how in ("", "nonblock"):
        assert Case(w, unix(w, s.HOSTILE), GOOD, timeout=6).probe(how) == ("ok", "")


@test("several: behind the bridge: datagrams", on=(PLAIN, ASAN))
def _(w):
    several.udp_echo()
    command = [PYTHON, "-c", several.DATAGRAM % {"host": bed.TARGET4, "n": 3}]
    play(w, never_answers)
    for servers in ((GSSAPI + CLOSED, GOOD), (GSSAPI + several.HOSTILE, GOOD), (nobody(w), WITH_GSSAPI),
                    (unix(w, s.MICROSOCKS), GOOD)):
        case = Kerberos(w, *servers)
        result = case.run(command)
        assert result[:2] == (0, b"0\n1\n2\n"), result
        if servers[0] == GSSAPI + CLOSED:
            result = case.run(command)
            assert result[:2] == (0, b"0\n1\n2\n") and b"s0" not in result[2], "it is known to be down: %r" % (result,)


@test("several: behind the bridge: listeners", on=(PLAIN, ASAN))
def _(w):
    play(w, never_answers)
    for servers in ((GSSAPI + CLOSED, GOOD), (GSSAPI + several.HOSTILE, GOOD), (nobody(w), WITH_GSSAPI)):
        several.listen_and_answer(Kerberos(w, *servers))
    status, out, err = Case(w, unix(w, s.MICROSOCKS), GOOD).run([PYTHON, "-c", several.LISTEN_NOW])
    assert (status, out) == (0, b"listens\n") and b'listening at server "s1"' in err, (status, out, err)


# --- a stand-alone bridge ---


class Alone:
    """A stand-alone bridge with the SERVERS of a Case."""

    PORT = 2089

    def __init__(self, w, *servers, env=None, **more):
        case = Case(w, *servers, **more)
        words = ["%s=%s" % pair for pair in (env or {}).items()]
        self.path = "%s/alone-%s.log" % (w.scratch, os.path.basename(case.conf))
        self.w, self.log = w, open(self.path, "wb")
        self.bridge = bed.start(bed.CLIENT, ["env"] + words + [w.bridge, "-v", "--listen", "127.0.0.1:%d" % self.PORT,
                                                               "-c", case.conf], stderr=self.log)

    def __enter__(self):
        bed.wait_port(bed.CLIENT, "127.0.0.1", self.PORT)
        return self

    def __exit__(self, *_):
        bed.stop(self.bridge)
        self.log.close()

    def fetch(self):
        command = CURL + ["--socks5-hostname", "127.0.0.1:%d" % self.PORT, URL4]
        return bed.run(bed.CLIENT, command, self.w.env, 30)

    def lines(self):
        with open(self.path, encoding="ascii") as f:
            return f.read()


@test("several: a stand-alone bridge uses the next server", on=(PLAIN, ASAN))
def _(w):
    client = kerberos.krb(w).realm.client
    bad = (CLOSED, SILENT, several.REFUSING, GSSAPI + CLOSED, WITH_GSSAPI + ' gssapi-service = "nosuch"', nobody(w),
           several.HOSTILE)
    for first in bad:
        play(w, replies(7))
        for last in (GOOD, WITH_GSSAPI):
            with Alone(w, first, last, env=client) as bridge:
                right(bridge.fetch(), PAGE)
                assert 'trying server "s1"' in bridge.lines(), bridge.lines()
                right(bridge.fetch(), PAGE)
                known = bridge.lines().count("trying")
                assert known == (2 if first == several.HOSTILE else 1), bridge.lines()


@test("several: a stand-alone bridge: what is not the server's is the client's, and the time is limited", on=PLAIN)
def _(w):
    play(w, replies(5))
    with Alone(w, several.HOSTILE, GOOD) as bridge:
        assert bridge.fetch()[0] == 97 and "trying" not in bridge.lines()  # CURLE_PROXY
    play(w, never_answers)
    with Alone(w, several.HOSTILE, SILENT, timeout=20, rule="timeout = 4") as bridge:
        begun = time.monotonic()
        assert bridge.fetch()[0] == 97 and time.monotonic() - begun < 12, bridge.lines()
    play(w, several.answers_late)
    with Alone(w, several.HOSTILE + " pipeline = off", GOOD, timeout=6) as bridge:
        bridge.fetch()
        assert "trying" not in bridge.lines(), bridge.lines()


@test("several: behind the bridge: programs in a namespace use the next server", on=PLAIN)
def _(w):
    for words in (GSSAPI + CLOSED, nobody(w), WITH_GSSAPI + ' gssapi-service = "nosuch"'):
        case = Kerberos(w, words, GOOD)
        right(case.run(CURL + [URL4], options=("--engine=namespace", "-v")), PAGE)
