"""Abandoned calls: a signal handler jumps out of them, or their thread is cancelled. Also calls made by signal handlers
that interrupt other calls, and descriptor numbers that are reused during a call. Such a call leaves nothing behind, no
packet bypasses the proxy, and later calls work."""

import os
import time

import bed
import hostile
import servers as s
import test_udp
from world import ASAN, AUTH, PLAIN, TSAN, fine, test


def configured(w, port, user=s.USER, password=s.PASSWORD, timeout=60, more=""):
    path = s.write("%s/left-%d.conf" % (w.scratch, port),
                   'server "a" { address = "%s" port = %d timeout = %d username = "%s" password = "%s" %s }\n'
                   'rule "all" { command = {"connect", "bind", "udp"} via = {"a"} }\n'
                   % (bed.PROXY4, port, timeout, user, password, more))
    os.chmod(path, 0o600)
    return path


def never_reply(conversation):
    conversation.receive()
    conversation.hang()


def reply_once(conversation):
    hostile.Talk(conversation).begin_with_password()
    conversation.say(hostile.OK)
    conversation.hang()


def run(w, conf, words, seconds=120):
    fine(w.configured(conf, words, w.env, seconds))


def behind_a_slow_server(w, app):
    """Runs APP with a server that replies late. Its relay sends each datagram back."""
    relay = test_udp.Relay(lambda r, data: [data])

    def slow(conversation):
        time.sleep(0.7)
        relay.script(conversation)
    w.hostile.play(slow)
    try:
        fine(w.via(s.HOSTILE, [w.app(app), bed.TARGET4, "7"]))
    finally:
        relay.close()


@test("abandoned calls: a thousand connect() calls cancelled, two thousand left by a jump, through danted",
      slow=30)
def _(w):
    # The target does not accept the connection, so the server waits.
    run(w, configured(w, s.DANTED_AUTH),
        [w.app("left_calls"), bed.PROXY4, str(s.BLACK_HOLE), "1000", s.PASSWORD])


@test("abandoned calls: connect() cancelled and left by a jump, with a server that does not reply", on=(ASAN, TSAN))
def _(w):
    w.hostile.play(never_reply)
    for pipeline in ("on", "off"):
        run(w, configured(w, s.HOSTILE, "alice", "secret-word", more="pipeline = " + pipeline),
            [w.app("left_calls"), bed.TARGET4, "80", "150", "secret-word"])


@test("abandoned calls: sending a first datagram cancelled and left by a jump", on=(ASAN, TSAN))
def _(w):
    w.hostile.play(never_reply)
    run(w, configured(w, s.HOSTILE, "alice", "secret-word"),
        [w.app("left_calls"), bed.TARGET4, "7", "150", "secret-word", "datagrams"])


@test("abandoned calls: poll() cancelled and left by a jump during a negotiation", on=(ASAN, TSAN))
def _(w):
    w.hostile.play(reply_once)
    for pipeline in ("on", "off"):
        run(w, configured(w, s.HOSTILE, "alice", "secret-word", more="pipeline = " + pipeline),
            [w.app("left_calls"), bed.TARGET4, "80", "300", "secret-word", "polls"])


@test("abandoned calls: listen() left by a jump, with a server that does not reply", on=(ASAN, TSAN))
def _(w):
    w.hostile.play(never_reply)
    run(w, configured(w, s.HOSTILE, "alice", "secret-word"),
        [w.app("left_calls"), bed.TARGET4, "80", "100", "secret-word", "listens"])


@test("abandoned calls: accept() cancelled and left by a jump", on=(ASAN, TSAN))
def _(w):
    w.hostile.play(reply_once)
    run(w, configured(w, s.HOSTILE, "alice", "secret-word"),
        [w.app("left_calls"), bed.TARGET4, "80", "100", "secret-word", "accepts"])


@test("abandoned calls: datagrams pass after one call was cancelled and another left by a jump", on=(ASAN, TSAN))
def _(w):
    behind_a_slow_server(w, "left_datagram")


@test("abandoned calls: a socket that takes the descriptor number of a blocking datagram call is not touched", on=(ASAN, TSAN))
def _(w):
    behind_a_slow_server(w, "close_datagram")


for LABEL, PORT, USER in (("danted", s.DANTED, ""), ("danted with password", s.DANTED_AUTH, AUTH)):
    @test("abandoned calls: calls of signal handlers go through %s, whatever call they interrupt" % LABEL, on=(ASAN, PLAIN), slow=10)
    def _(w, port=PORT, user=USER):
        test_udp.targets(w)
        fine(w.via(port, [w.app("handler_calls"), bed.TARGET4, str(s.ECHO)], user, seconds=100))
