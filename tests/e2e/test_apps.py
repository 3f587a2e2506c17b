"""Every program of tests/apps: without socksify where the target can be reached, and covered where only a server can
reach it, through different servers, started by socksify and by LD_PRELOAD. Its behaviour must be the same."""

import os

import bed
import servers as s
from world import ASAN, AUTH, PLAIN, TSAN, fine, test

ECHOING = ["tcp_blocking", "tcp_nonblock_poll", "tcp_nonblock_select", "epoll_before", "epoll_after",
           "epoll_thread", "threads_200", "poll_shared", "fork_after", "fork_connecting", "fork_child_finishes",
           "fork_otherwise",
           "close_connecting", "exec_inherit", "vfork_exec", "spawn", "close_all", "fastopen", "raw_syscall",
           "options_kept", "early_io", "listen_local", "poll_chk", "connect_500", "v4mapped",
           "getaddrinfo_closed", "limits", "storm", "udp_refused", "stream", "raw_calls", "exec_family",
           "other_names", "under_way", "rcvlowat", "wait_elsewhere", "widths", "checked_calls",
           "changes_ids"]
STALLING = ["poll_timeout", "early_stalled", "sndtimeo", "eintr", "shutdown_connecting", "refused_closes"]
COVERED_ONLY = {"getaddrinfo_closed": "closed", "udp_refused": "refused"}  # third argument
THREADED = ("close_connecting", "wait_elsewhere", "threads_200", "epoll_thread", "poll_shared", "connect_500")
WAYS = (("danted", "socksify", s.DANTED, ""),
        ("danted with password", "preload", s.DANTED_AUTH, AUTH),
        ("microsocks", "preload", s.MICROSOCKS, ""),
        ("ssh -D", "socksify", s.SSH_D, ""))
FAMILY6 = ["tcp_blocking", "tcp_nonblock_poll", "epoll_before", "epoll_after", "exec_inherit",
           "fastopen", "raw_syscall", "raw_calls", "options_kept", "udp_refused", "spawn",
           "other_names"]


def covered(w, launcher, port, user, name, host, at=s.ECHO):
    command = [w.app(name), host, str(at)]
    if name in COVERED_ONLY:
        command.append(COVERED_ONLY[name])
    before = len(w.target.peers)
    if launcher == "socksify":
        result = w.via(port, command, user)
    else:
        result = w.preloaded(None, command, 120, SOCKS5_CONF=long_timeout(w, port, user))
    fine(result)
    if at == s.ECHO and name != "udp_refused":
        new = w.target.peers[before:]
        assert new, "no connection arrived at the target"
        assert all(a[0] in (bed.OUTER4, bed.OUTER6, "::ffff:" + bed.OUTER4) for _, a in new), new


def long_timeout(w, port, user):
    """A configuration whose timeout is longer than a busy machine needs to check 200 passwords."""
    path = "%s/long_timeout-%d.conf" % (w.scratch, port)
    words = user and 'username = "%s" password = "%s"' % (s.USER, s.PASSWORD)
    s.write(path, 'server "a" { address = "%s" port = %d timeout = 120 %s }\n'
            'rule "all" { via = {"a"} }\n' % (bed.PROXY4, port, words))
    os.chmod(path, 0o600)
    return path


# Greeting and request for TARGET4 port 80, in one write.
GREETING_AND_REQUEST = b"\5\1\0\5\1\0\1" + bytes(map(int, bed.TARGET4.split("."))) + b"\0\x50"


def never_reply(conversation):
    while conversation.receive():
        pass


# Each program uses two of WAYS, one with each launcher. With --full it uses all of them.
for NUMBER, NAME in enumerate(ECHOING):
    for HOST in [bed.TARGET4] + ([bed.TARGET6] if NAME in FAMILY6 else []):
        test("%s to %s, without socksify" % (NAME, HOST), on=PLAIN)(
            lambda w, name=NAME, host=HOST: fine(bed.run(
                bed.PROXY, [w.app(name, False), host, str(s.ECHO)], w.env, 60)))
        for WAY, (LABEL, LAUNCHER, PORT, USER) in enumerate(WAYS):
            if HOST == bed.TARGET6 and PORT not in (s.DANTED, s.MICROSOCKS):
                continue
            if NAME == "udp_refused" and PORT in (s.DANTED, s.DANTED_AUTH):
                continue  # danted supports UDP, see test_udp.py
            test("%s to %s through %s, %s" % (NAME, HOST, LABEL, LAUNCHER),
                 on=(ASAN, TSAN) if NAME in THREADED and WAY < 2 else ASAN,
                 full=HOST == bed.TARGET4 and (NUMBER + WAY) % 2 != 0 and NAME != "udp_refused")(
                     lambda w, d=LAUNCHER, p=PORT, u=USER, n=NAME, h=HOST: covered(w, d, p, u, n, h))

test("changes_ids as root, without socksify", on=PLAIN, root=True)(lambda w: fine(bed.run(
    bed.PROXY, [w.app("changes_ids", False), bed.TARGET4, str(s.ECHO)], w.env, 60)))
test("changes_ids as root, covered", root=True)(
    lambda w: covered(w, "socksify", s.DANTED, "", "changes_ids", bed.TARGET4))

for NAME in STALLING:
    test("%s, without socksify" % NAME, on=PLAIN)(lambda w, name=NAME: fine(bed.run(
        bed.PROXY, [w.app(name, False), bed.PROXY4, str(s.BLACK_HOLE)], w.env, 30)))

    def stalled(w, launcher, name):
        w.hostile.play(never_reply)
        covered(w, launcher, s.HOSTILE, "", name, bed.TARGET4, 80)
        assert w.hostile.connections, "no connection arrived at the server"
        # Only negotiations: greeting and request in one write, or the greeting of the second attempt.
        octets = b"".join(w.hostile.received)
        rest = octets.replace(GREETING_AND_REQUEST, b"")
        assert octets and not rest.replace(GREETING_AND_REQUEST[:3], b""), octets
    for LAUNCHER in ("socksify", "preload"):
        test("%s with a server that does not reply, %s" % (NAME, LAUNCHER))(
            lambda w, d=LAUNCHER, n=NAME, f=stalled: f(w, d, n))
    test("%s with a server that cannot be reached" % NAME)(
        lambda w, n=NAME: covered(w, "socksify", s.BLACK_HOLE, "", n, bed.TARGET4, 80))

test("fork_failing, without socksify", on=PLAIN)(lambda w: fine(bed.run(
    bed.PROXY, [w.app("fork_failing", False), bed.PROXY4, str(s.BLACK_HOLE)], w.env, 60)))
test("fork_failing: a failed fork() leaves nothing behind", on=PLAIN)(
    lambda w: covered(w, "socksify", s.BLACK_HOLE, "", "fork_failing", bed.TARGET4, 80))

test("so_error, without socksify", on=PLAIN)(lambda w: fine(bed.run(
    bed.PROXY, [w.app("so_error", False), bed.TARGET4, str(s.REFUSED)], w.env, 30)))
for LABEL, PORT, USER in (("danted", s.DANTED, ""), ("microsocks", s.MICROSOCKS, ""),
                          ("danted with password", s.DANTED_AUTH, AUTH), ("ssh -D", s.SSH_D, ""),
                          ("a server that is down", s.CLOSED, "")):
    for LAUNCHER in ("socksify", "preload"):
        test("so_error is ECONNREFUSED for a refused target through %s, %s" % (LABEL, LAUNCHER))(
            lambda w, d=LAUNCHER, p=PORT, u=USER: covered(w, d, p, u, "so_error", bed.TARGET4,
                                                      s.REFUSED))
