"""The namespace engine: which engine runs a program, and what log and summary say of programs in a namespace."""

import contextlib
import json
import os
import re

import bed
import reaching
import servers as s
import test_udp
from reaching import BUSYBOX, Life, Wrong, programs, read, run, tcp_words
from world import AUTH, CURL, PAGE, PLAIN, PYTHON, URL4, test

TEXT = PAGE + b"\n"
ALL = 'server "p" { address = "%s" port = %d }\nrule "all" { via = {"p"} }\n' % (bed.PROXY4, s.DANTED)


def python(code):
    return [PYTHON, "-c", code]


# --- the choice of the engine ---


@test("reach choice: --engine=preload refuses, a wrong engine is reported, options that exclude each other", on=PLAIN)
def _(w):
    p = programs(w)
    for name in ("probe_static", "probe_musl", "go_static", "go_cgo", "rust", "bare", "probe_musl_dynamic"):
        status, out, err = run(w, tcp_words(w, name, bed.TARGET4), "--engine=preload")
        assert status == 126 and not out and b"cannot be covered" in err and err.count(b"\n") == 1, (name, status, err)
        status, out, err = run(w, ["sh", "-c", " ".join(tcp_words(w, name, bed.TARGET4))], "--engine=preload")
        assert status == 126 and b"refused to run" in err, (name, status, out, err)
    assert run(w, [*CURL, URL4], "--engine=preload") == (0, TEXT, b"")
    for options in (["--engine=x"], ["--engine="], ["--engine"], ["--strict", "--engine=preload"],
                    ["--strict", "--engine=auto"]):
        status, out, err = bed.run(bed.CLIENT, [w.socksify, *options], w.env)
        assert status == 125 and not out and err.count(b"\n") == 1 and b"engine" in err, (options, status, err)
    for options in (["--engine", "namespace"], ["--engine=namespace", "--strict"], ["--engine=auto"]):
        assert run(w, [p.probe_static, "tcp", bed.TARGET4, "80"], *options) == (0, TEXT, b""), options


def net_of(w, text, command, *options):
    """The network namespace in which COMMAND, which prints it, runs, and whether it is the client's."""
    own = bed.run(bed.CLIENT, ["readlink", "/proc/self/ns/net"], w.env)[1]
    status, out, err = bed.run(bed.CLIENT, reaching.by_file(w, text, command, *options), w.env)
    assert status == 0 and not err and out.startswith(b"net:["), (status, out, err)
    return out, out == own


@test("reach choice: the configuration chooses the engine, for all or for programs by name", on=PLAIN)
def _(w):
    link, static = ["readlink", "/proc/self/ns/net"], [BUSYBOX, "readlink", "/proc/self/ns/net"]
    child, by_name = ["sh", "-c", " ".join(link) + "; true"], 'namespace-programs = {"readlink", "curl"}\n' + ALL
    with Wrong() as wrong:
        for text, options, command, outside in (
                (ALL, (), link, True), (ALL, (), static, False), (ALL, ("--engine=namespace",), link, False),
                (ALL, ("--strict",), link, False), (ALL, ("--engine=auto",), child, True),
                (by_name, (), link, False), (by_name, (), child, False), (by_name, (), ["sh", "-c", "exec readlink "
                                                                                        "/proc/self/ns/net"], False),
                (by_name, (), python("import os; print(os.readlink('/proc/self/ns/net'))"), True),
                (by_name, ("--engine=preload",), python("import os; print(os.readlink('/proc/self/ns/net'))"), True),
                ('engine = "namespace"\n' + ALL, (), link, False), ('engine = "namespace"\n' + ALL, (), child, False),
                ('engine = "preload"\n' + ALL, (), link, True), ('engine = "auto"\n' + ALL, (), static, False),
                ('engine = "namespace"\n' + ALL, ("--engine=auto",), link, True),
                ('engine = "namespace"\npreload-programs = {"readlink"}\n' + ALL, (), link, True),
                ('engine = "preload"\nnamespace-programs = {"readlink"}\n' + ALL, (), link, False)):
            if net_of(w, text, command, *options)[1] != outside:
                wrong.append(((text, options, command), "not %s" % ("outside" if outside else "inside")))
        for name in ("readlink", "curl"):
            result = bed.run(bed.CLIENT, reaching.by_file(w, by_name, [*CURL, "http://both.example/"]), w.env)
            wrong.expect(name, result, TEXT)
        refusing = 'preload-programs = {"busybox"}\n' + ALL
        for command in (static, ["sh", "-c", " ".join(static)]):
            status, out, err = bed.run(bed.CLIENT, reaching.by_file(w, refusing, command), w.env)
            if status != 126 or out or b"busybox" not in err:
                wrong.append((command, (status, out, err)))


@test("reach choice: mistakes in these keys are reported with their line", on=PLAIN)
def _(w):
    for key, value in (("engine", '"x"'), ("namespace-programs", '{"/bin/curl"}'), ("preload-programs", '{""}'),
                       ("namespace-loopback-in", '"maybe"'), ("namespace-loopback-out", '"1"'),
                       ("namespace-hide-dbus", '"on"')):
        status, out, err = bed.run(bed.CLIENT, reaching.by_file(w, ALL + "%s = %s\n" % (key, value), ["true"]), w.env)
        assert status == 125 and not out and err.count(b"\n") == 1 and b".conf:3: " in err, (key, status, out, err)


# --- the log ---


@test("reach logs: -v has a line for each connection of namespaced programs, with the program's name", on=PLAIN)
def _(w):
    p = programs(w)
    # Not the program in Go: it tries the second address of a name as well if the first one takes 300 ms.
    line = "%s tcp %s 80; %s errno %s %d; %s get both.example 80; curl -sS -m 20 %s; true" % (
        p.probe_static, bed.TARGET4, p.probe_musl, bed.TARGET6, s.REFUSED, p.rust, URL4)
    where = w.scratch + "/home/reach.log"
    for options in ((), ("--log", where)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(where)
        status, out, err = run(w, ["sh", "-c", line], "-v", *options)
        assert status == 0 and out.count(TEXT) == 3 and (not options or not err), (status, out, err)
        lines = (open(where).read() if options else err.decode()).splitlines()
        wanted = [("probe_static", r"connect %s:80 by .*: connected in \d+ ms" % bed.TARGET4),
                  ("probe_musl", r"connect \[%s\]:%d by .*: connection refused .*" % (bed.TARGET6, s.REFUSED)),
                  ("rust", r"connect both.example:80 by .*: connected in \d+ ms"),
                  ("curl", r"connect %s:80 by .*: connected in \d+ ms" % bed.TARGET4)]
        assert len(lines) == len(wanted), lines
        for got, (name, words) in zip(lines, wanted):
            assert re.fullmatch(r"socksify\[\d+\]: info: %s: %s" % (name, words), got), (got, name, words)


@test("reach logs: standard error has the lines of a program whose namespace was made by one that has ended", on=PLAIN)
def _(w):
    p = programs(w)
    first = "%s sh -c 'sleep 1000 >/dev/null 2>&1 </dev/null & true'" % BUSYBOX
    with Life(w) as life:
        status, out, err = run(w, ["sh", "-c", "%s; %s tcp %s 80; true" % (first, p.probe_static, bed.TARGET4)], "-v",
                               env=life.env)
        assert status == 0 and out == TEXT and b"info: probe_static: connect" in err, (status, out, err)
        life.kill()


@test("reach logs: lines as JSON, to a descriptor, and datagrams", on=PLAIN)
def _(w):
    p, path = programs(w), w.scratch + "/home/reach.json"
    test_udp.targets(w)
    command = ["sh", "-c", '"$@" 5>>%s' % path, "sh", *reaching.by_url(w, ["sh", "-c", "%s tcp %s 80; %s udp %s 7 x" % (
        p.probe_static, bed.TARGET4, p.go_static, bed.TARGET4)], "-v", "--log-json", "--log", "fd:5")]
    status, out, err = bed.run(bed.CLIENT, command, w.env)
    assert status == 0 and out == TEXT + b"x\n" and not err, (status, out, err)
    with open(path) as f:
        rows = [json.loads(line) for line in f]
    os.unlink(path)
    assert [(r["program"], r.get("result")) for r in rows] == [("probe_static", "connected"), ("go_static", None)], rows
    assert rows[0]["command"] == "connect" and "UDP through" in rows[1]["message"], rows
    assert all(r["pid"] > 1 and r["time"] > 1e12 for r in rows), rows


@test("reach logs: the summary counts connections of namespaced programs", on=PLAIN)
def _(w):
    p = programs(w)
    conf = ('server "p" { address = "%s" port = %d }\nserver "down" { address = "%s" port = %d }\n'
            'rule "no" { to = {"192.0.2.1"} via = "deny" }\nrule "down" { to = {"192.0.2.2"} via = "down" }\n'
            'rule "rest" { via = "p" }\n' % (bed.PROXY4, s.DANTED, bed.PROXY4, s.CLOSED))

    def summary(one, two):
        line = "%s tcp %s 80; %s tcp %s 80; %s errno %s %d; %s errno 192.0.2.1 80; %s errno 192.0.2.2 80; exit 3" % (
            one, bed.TARGET4, two, bed.TARGET4, one, bed.TARGET4, s.REFUSED, one, two)
        status, _, err = bed.run(bed.CLIENT, reaching.by_file(w, conf, ["sh", "-c", line], "--summary"), w.env)
        assert status == 3, (status, err)
        return [text for text in err.decode().splitlines() if text.startswith("socksify: ")]
    for programs_of in ((p.probe_dynamic, p.probe_dynamic), (p.probe_static, p.go_static)):
        said = summary(*programs_of)
        assert said[::2] == ['socksify: via "p": 2 connected, 1 connection refused',
                             "socksify: direct: 0 connections; denied: 1"], said
        assert re.fullmatch(r'socksify: via "down": 0 connected, .*1 not started, because the server was not reached',
                            said[1]), said


@test("reach logs: secrets are never logged, and a line of a denied connection comes once", on=PLAIN)
def _(w):
    p = programs(w)
    status, _, err = run(w, [p.go_static, "tcp", "both.example", "80"], "-vv", "--summary", port=s.DANTED_AUTH,
                         user=AUTH)
    assert status == 0 and err and s.PASSWORD.encode() not in err and AUTH.split(":")[1].encode() not in err, err
    with Life(w) as life:
        process = reaching.start(w, [BUSYBOX, "sleep", "1000"], port=s.DANTED_AUTH, user=AUTH, env=life.env)
        gateway = life.one("socks5gateway")
        for pid in (gateway, process.pid):
            assert s.PASSWORD.encode() not in read(pid, "cmdline") + read(pid, "environ")
        bed.stop(process)
