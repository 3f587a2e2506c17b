"""The library's drop-in functions: the programs of tests/apps compiled anew with the header and nothing
else changed, through real servers, without anything preloaded; and under the preload object."""

import copy
import socket

import bed
import hostile
import servers as s
import test_apps
import test_bind
import test_names
import test_udp
from run import PAGE, fine, right, test

ALONE = {"exec_inherit", "raw_syscall", "spawn", "vfork_exec"}  # what the preload object alone sees


def dropped(w):
    """The same world for programs that were compiled anew."""
    other = copy.copy(w)
    other.linked, other.kind = True, "drop_"
    return other


for NAME in [name for name in test_apps.ECHOING if name not in ALONE]:
    for HOST in [bed.TARGET4] + ([bed.TARGET6] if NAME in test_apps.FAMILY6 else []):
        test("recompiled: %s to %s" % (NAME, HOST), linked=False)(
            lambda w, n=NAME, h=HOST: test_apps.covered(
                dropped(w), "socksify", s.MICROSOCKS if n == "udp_refused" else s.DANTED, "", n, h))
test("recompiled: tcp_blocking with a password", linked=False)(lambda w: test_apps.covered(
    dropped(w), "socksify", s.DANTED_AUTH, test_apps.AUTH, "tcp_blocking", bed.TARGET4))

for NAME in test_apps.STALLING:
    test("recompiled: %s with a server that cannot be reached" % NAME, linked=False)(
        lambda w, n=NAME: test_apps.covered(dropped(w), "socksify", s.BLACK_HOLE, "", n,
                                            bed.TARGET4, 80))

test("recompiled: so_error, a refused target", linked=False)(lambda w: test_apps.covered(
    dropped(w), "socksify", s.DANTED, "", "so_error", bed.TARGET4, s.REFUSED))

for HOW in [how for how in test_bind.WAYS if how != "exec"]:
    test("recompiled: called back at %s, %s" % (bed.TARGET4, HOW), linked=False)(
        lambda w, how=HOW: test_bind.called_back(dropped(w), how, bed.TARGET4, s.DANTED))
test("recompiled: called back at %s, blocking" % bed.TARGET6, linked=False)(
    lambda w: test_bind.called_back(dropped(w), "blocking", bed.TARGET6, s.DANTED))

for HOST, LESS in test_udp.FAMILIES:
    test("recompiled: every call for datagrams to %s" % HOST, linked=False)(
        lambda w, h=HOST, n=LESS: fine(test_udp.through(
            dropped(w), s.DANTED, "", [dropped(w).app("udp_calls"), h, "7", str(n)])))


@test("recompiled: names", linked=False)
def _(w):
    other = dropped(w)
    test_names.connects(other, s.DANTED, "socksify")
    for name in ("names_odd", "names_all_at_once"):
        fine(other.via(s.DANTED, [other.app(name)], seconds=120))
    for name in (test_names.BOTH, "localhost"):
        bare = bed.run(bed.PROXY, [w.app("names_shape", False), name], w.env, 60)
        again = other.via(s.DANTED, [other.app("names_shape"), name])
        assert bare[0] == again[0] == 0, (bare[0], again[0], again[2])
        differ = [pair for pair in zip(bare[1].splitlines(), again[1].splitlines())
                  if pair[0] != pair[1]]
        assert bare[1].count(b"\n") > 800 and not differ, differ[:5]


@test("recompiled: without a configuration everything fails, and says why", linked=False)
def _(w):
    other = dropped(w)
    status, _, err = bed.run(bed.CLIENT, [other.app("tcp_blocking"), bed.TARGET4, "7"], w.env, 60)
    assert status != 0 and b"no configuration" in err, (status, err)


@test("recompiled and run by socksify: proxied once", linked=False)
def _(w):
    """Both doors know the server; it is asked for the target, by one connection."""
    def serve(c):
        hostile.Talk(c).serve()
    program = dropped(w).app("tcp_blocking")
    w.hostile.play(serve)
    fine(w.via(s.HOSTILE, [program, bed.TARGET4, "7"]))
    asked = b"".join(w.hostile.flights)
    assert w.hostile.connections == 1 and asked.count(socket.inet_aton(bed.TARGET4)) == 1, \
        w.hostile.flights
    assert socket.inet_aton(bed.PROXY4) not in asked, asked
    for name in ("epoll_before", "threads_200", "listen_local", "close_all"):
        fine(w.via(s.DANTED, [dropped(w).app(name), bed.TARGET4, "7"]))
    fine(w.via(s.DANTED, [dropped(w).app("names_connect"), test_names.WILD, "7", "covered"]))
    fine(test_udp.through(w, s.DANTED, "", [dropped(w).app("udp_calls"), bed.TARGET4, "7",
                                            str(test_udp.FAMILIES[0][1])]))
    test_bind.callers()
    fine(w.via(s.DANTED, [dropped(w).app("called_back"), bed.TARGET4, str(test_bind.CALLER),
                          "nonblock epoll"]))


# --- docs/examples, each as a reader would run it ---


def example(w, name, *arguments):
    return bed.run(bed.CLIENT, [w.build + "/docs/examples/example_" + name] + list(arguments),
                   dict(w.env, SOCKS5_SERVER=URL), 40)


URL = "socks5h://%s:%d" % (bed.PROXY4, s.DANTED)
PAGE_AT = [bed.TARGET4, str(s.HTTP), "/index.html"]
SERVER = [bed.PROXY4, str(s.DANTED)]

test("example: a blocking fetch", linked=False)(
    lambda w: right(example(w, "fetch", URL, *PAGE_AT), PAGE))
test("example: a blocking fetch by name, over IPv6, with a password", linked=False)(
    lambda w: right(example(w, "fetch", "socks5h://%s@[%s]:%d" % (test_apps.AUTH, bed.PROXY6,
                                                                 s.DANTED_AUTH),
                            test_names.BOTH, "80", "/index.html"), PAGE))
test("example: a poll loop over the session", linked=False)(
    lambda w: right(example(w, "loop", *SERVER, *PAGE_AT), PAGE))
test("example: libevent", linked=False)(
    lambda w: right(example(w, "event", *SERVER, *PAGE_AT), PAGE))
test("example: the legacy client, recompiled", linked=False)(
    lambda w: right(example(w, "legacy", test_names.BOTH, "80", "GET /index.html HTTP/1.0"), PAGE))


@test("example: a question in a datagram", linked=False)
def _(w):
    test_udp.targets(w)
    for host, port in ((bed.PROXY4, s.DANTED), ("[%s]" % bed.PROXY6, s.DANTED)):
        right(example(w, "query", "socks5h://%s:%d" % (host, port), bed.TARGET4, str(test_udp.DNS),
                      "name.example"), b"192.0.2.77, says 10.88.2.2 port 5353")
    status, _, err = example(w, "query", "socks5h://%s:%d" % (bed.PROXY4, s.MICROSOCKS), bed.TARGET4,
                             str(test_udp.DNS), "name.example")
    assert status == 1 and b"not supported" in err, (status, err)


@test("example: called back with a file", linked=False)
def _(w):
    for host in (bed.TARGET4, bed.TARGET6):
        right(example(w, "ftp", URL, host, str(s.FTP), "index.html"), PAGE)


@test("example: failures are told", linked=False)
def _(w):
    for name, arguments in (("fetch", [URL]), ("loop", SERVER), ("event", SERVER)):
        status, out, err = example(w, name, *arguments, bed.TARGET4, str(s.REFUSED), "/")
        assert status == 1 and not out and b"Connection refused" in err, (name, status, err)
