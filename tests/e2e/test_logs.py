"""The log: one line per connection, sent to the configured place, and the summary at the end."""

import json
import os
import re
import socket
import threading

import bed
import servers as s
from world import CURL, PAGE, PYTHON, URL4, test

SHELL = "curl -sS -m 20 %s; curl -s -m 20 http://%s:%d/; curl -s -m 20 http://127.0.0.1:1/; true"


def socksify(w, *words, seconds=60):
    return bed.run(bed.CLIENT, [w.socksify, "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED)]
                   + list(words), w.env, seconds)


def script():
    return ["sh", "-c", SHELL % (URL4, bed.TARGET4, s.REFUSED)]


@test("logs: nothing is logged by default")
def _(w):
    status, out, err = socksify(w, "--", *script())
    assert status == 0 and PAGE in out and not err, (status, out, err)


@test("logs: -v logs one line per connection, -vv also its phases")
def _(w):
    status, _, err = socksify(w, "-v", "--", *script())
    lines = err.decode().splitlines()
    assert status == 0 and len(lines) == 3, lines
    for line, words in zip(lines, (
            r'connect %s:80 by rule ".+" via "proxy": connected in \d+ ms' % bed.TARGET4,
            r'connect %s:%d by rule ".+" via "proxy": connection refused \(waiting for reply, '
            r'connection refused\) in \d+ ms' % (bed.TARGET4, s.REFUSED),
            r"connect 127.0.0.1:1: direct")):
        assert re.fullmatch(r"socksify\[\d+\]: info: curl: " + words, line), line
    status, _, err = socksify(w, "-vv", "--", *CURL, URL4)
    text = err.decode()
    phases = ": debug: server %s:%d: method none, .*, succeeded, bound to " % (bed.PROXY4, s.DANTED)
    assert status == 0 and re.search(phases, text), text


@test("logs: JSON lines are written to a file and to a descriptor")
def _(w):
    path = w.scratch + "/lines"
    for where in ("%s/lines" % w.scratch, "fd:5"):
        command = ["sh", "-c", '"$@" 5>>%s' % path, "sh", w.socksify, "-x", "socks5h://%s:%d"
                   % (bed.PROXY4, s.DANTED), "-v", "--log-json", "--log", where, "--"] + script()
        status, out, err = bed.run(bed.CLIENT, command, w.env)
        assert status == 0 and PAGE in out and not err, (status, out, err)
        with open(path) as f:
            rows = [json.loads(line) for line in f]
        os.remove(path)
        assert [(r["command"], r["result"]) for r in rows] == [
            ("connect", "connected"), ("connect", "connection refused"), ("connect", "direct")], rows
        assert rows[0]["to"] == bed.TARGET4 + ":80" and rows[0]["server"] == "proxy", rows
        assert all(r["program"] == "curl" and r["pid"] > 1 and r["time"] > 1e12 for r in rows), rows
        assert rows[1]["reply"] == "connection refused" and rows[0]["ms"] >= 0, rows


@test("logs: lines are written to syslog")
def _(w):
    # The command has its own /dev, with a /dev/log that this test reads.
    heard, path = [], w.scratch + "/log"
    listener = bed.unix_listener(path, socket.SOCK_DGRAM)
    listener.settimeout(30)
    command = ["unshare", "-m", "sh", "-c", "mkdir %s.d && mount -t tmpfs none %s.d && ln -s %s %s.d/log "
               "&& for d in null zero urandom; do : >%s.d/$d; mount --bind /dev/$d %s.d/$d; done && "
               'mount --move %s.d /dev && exec "$@"' % ((w.scratch + "/dev",) * 2 + (path,) +
                                                      (w.scratch + "/dev",) * 4), "sh"]
    result = []
    words = bed.as_user() + [w.socksify, "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED), "-v", "--log", "syslog",
             "--"] + CURL + [URL4]
    runner = threading.Thread(target=lambda: result.append(bed.run(bed.CLIENT, command + words, w.env, root=True)))
    runner.start()
    heard.append(listener.recv(4096))
    runner.join()
    listener.close()
    status, out, err = result[0]
    assert status == 0 and PAGE in out and not err, (status, out, err)
    assert re.fullmatch(rb'<14>socksify\[\d+\]: info: curl: connect .*: connected in \d+ ms', heard[0]
                        ), heard


@test("logs: a log descriptor that the program has reused is not written to")
def _(w):
    path = w.scratch + "/own"
    command = ["sh", "-c", '"$@" 5>>%s.log' % path, "sh", w.socksify, "-x", "socks5h://%s:%d"
               % (bed.PROXY4, s.DANTED), "-v", "--log", "fd:5", "--", "sh", "-c",
               "exec 5>%s; curl -s -m 20 -o /dev/null %s" % (path, URL4)]
    status, _, err = bed.run(bed.CLIENT, command, w.env)
    assert status == 0 and b"connected in" in err, (status, err)
    assert os.path.getsize(path) == 0 and os.path.getsize(path + ".log") == 0


@test("logs: secrets are never logged")
def _(w):
    user = s.USER + ":" + s.PASSWORD.replace(":", "%3A").replace("@", "%40").replace("/", "%2F")
    for more in ([], ["--log-json"]):
        status, out, err = bed.run(bed.CLIENT, [w.socksify, "-x", "socks5h://%s@%s:%d" % (
            user, bed.PROXY4, s.DANTED_AUTH), "-vv", "--summary", *more, "--"] + CURL + [URL4], w.env)
        assert status == 0 and err and s.PASSWORD.encode() not in err, (status, err)
        assert user.split(":")[1].encode() not in err, err


@test("logs: the summary counts connections by server and result")
def _(w):
    conf = s.write(w.scratch + "/summary.conf",
                   'server "p" { address = "%s" port = %d }\nserver "down" { address = "%s" port = %d }\n'
                   'rule "no" { to = {"192.0.2.1"} via = "deny" }\n'
                   'rule "down" { to = {"192.0.2.2"} via = "down" }\nrule "rest" { via = "p" }\n'
                   % (bed.PROXY4, s.DANTED, bed.PROXY4, s.CLOSED))
    shell = script()
    shell[2] += "; curl -s http://192.0.2.1/; curl -s http://192.0.2.2/; exit 3"
    command = [w.socksify, "-c", conf, "--summary"]
    status, _, err = bed.run(bed.CLIENT, command + ["--"] + shell, w.env)
    text = err.decode()
    for words in ('via "p": 1 connected, 1 connection refused\n', 'via "down": 0 connected, 1 not started',
                  "direct: 1 connections; denied: 1\n"):
        assert words in text, (words, text)
    assert status == 3, status
    for how in ([], ["nonblock"]):
        _, _, err = bed.run(bed.CLIENT, command + ["--", w.app("probe"), "192.0.2.2", "80"] + how, w.env)
        assert b'via "down": 0 connected, 1 not started, because the server was not reached\n' in err, err
    status, _, err = bed.run(bed.CLIENT, command + ["--log-json", "--"] + shell, w.env)
    summary = json.loads(err.decode().splitlines()[-1])["summary"]
    assert summary["direct"] == 1 and summary["denied"] == 1, summary
    servers = {each["server"]: each for each in summary["servers"]}
    assert servers["p"]["connected"] == 1 and servers["p"]["failed"] == {"5": 1}, summary
    assert servers["down"]["unreachable"] == 1, summary


@test("logs: with --summary signals reach the command, and its exit status is returned")
def _(w):
    status, out, err = socksify(w, "--summary", "--", "sh", "-c",
                                "trap 'echo got it; exit 5' TERM; kill -TERM $PPID; sleep 20 & wait")
    assert status == 5 and b"got it" in out and b"direct: 0" in err, (status, out, err)
    status, _, err = socksify(w, "--summary", "--", "sh", "-c", "kill -KILL $$")
    assert status == 137 and b"direct: 0" in err, (status, err)


@test("logs: neither a pipe without a reader nor a limit on file sizes ends a program")
def _(w):
    start = """
import os, signal, sys
r, end = os.pipe()
os.close(r)
os.dup2(end, 2)
for sig in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(sig, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])"""
    program = [w.app("tcp_blocking"), bed.TARGET4, str(s.ECHO)]
    url = ["-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED), "-vv"]
    status, _, err = bed.run(bed.CLIENT, [PYTHON, "-c", start, w.socksify] + url + ["--"] + program, w.env)
    assert status == 0, (status, err)
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh"] + program
    status, _, err = bed.run(bed.CLIENT, [PYTHON, "-c", start, w.socksify] + url +
                             ["--log", w.scratch + "/home/limited.log", "--"] + limited, w.env)
    assert status == 0, (status, err)


# Octets that a terminal interprets: ESC, CSI of C1 as one octet and in UTF-8, DEL, a new line; and a letter that it prints.
EVIL, SHOWN = b"\x1b[2J\x9b2J\xc2\x9b2J\x7f\xc3\xa4", "?[2J?2J??2J?\u00e4"


def evil(w):
    """A configuration whose titles and paths have such octets."""
    path = w.scratch + "/evil.conf"
    with open(path, "wb") as f:
        f.write(b"""
server 'p%s' { address = "%s" port = %d }
server 'u%s' { address = '/nowhere/%s' }
rule 'socket%s' { to = "192.0.2.0/24" via = 'u%s' }
rule 'no%s' { to = "%s" ports = "9" via = 'deny' }
rule 'rest%s' { via = 'p%s' }
""" % (EVIL, bed.PROXY4.encode(), s.DANTED, EVIL, EVIL, EVIL, EVIL, EVIL, bed.TARGET4.encode(), EVIL, EVIL))
    os.chmod(path, 0o644)
    return path


def harmless(text):
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", text), text
    text.decode()  # an octet of C1 by itself is no UTF-8


@test("logs: texts of the configuration do not control a terminal: --explain, --check, --summary, log lines")
def _(w):
    conf, nothing = evil(w), (bed.TARGET4, 9)
    run = "; ".join("import socket; c = socket.socket(); c.connect_ex(%r)" % (to,) for to in (nothing, (bed.TARGET4, s.ECHO)))
    for words in (["--explain", "%s:80" % bed.TARGET4], ["--explain", "192.0.2.1:80"], ["--explain", "%s:9" % bed.TARGET4],
                  ["--check"], ["--check", "--json"], ["--summary", "-vv", "--", PYTHON, "-c", run],
                  ["--summary", "--log-json", "-vv", "--", PYTHON, "-c", run]):
        _, out, err = bed.run(bed.CLIENT, [w.socksify, "-c", conf] + words, w.env)
        harmless(out)
        harmless(err)
        if "--json" not in words and "--log-json" not in words:
            assert SHOWN in (out + err).decode(), (words, out, err)
        else:
            assert b"p?[2J?2J" in err or b"\\u001b[2J\\ufffd2J" in out, (words, out, err)


@test("logs: mistakes in a configuration do not control a terminal")
def _(w):
    path = w.scratch + "/mistake.conf"
    with open(path, "wb") as f:
        f.write(b"server 'p%s' { port = 1 }\n" % EVIL)
    os.chmod(path, 0o644)
    for command in ([w.socksify, "-c", path, "true"], [w.bridge, "--listen", "127.0.0.1:1095", "-c", path],
                    [w.socksify, "-x", b"socks5h://" + EVIL, "true"],
                    [w.bridge, "--listen", "127.0.0.1:1095", "-x", b"socks5h://" + EVIL]):
        status, out, err = bed.run(bed.CLIENT, command, w.env)
        assert status == 125 and not out and err.count(b"\n") == 1, (status, out, err)
        harmless(err)


@test("logs: a summary that cannot be written does not change the exit status")
def _(w):
    start = """
import os, signal, sys
r, end = os.pipe(); os.close(r); os.dup2(end, 2)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])"""
    url = ["-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED)]
    command = [PYTHON, "-c", start, w.socksify] + url + ["--summary", "--", "sh", "-c", "exit 7"]
    assert bed.run(bed.CLIENT, command, w.env)[0] == 7
