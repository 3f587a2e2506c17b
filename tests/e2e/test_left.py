"""Calls that are left before they end, by a signal's handler that jumps, or since their thread is cancelled;
calls of handlers that interrupt others; and descriptors whose number becomes another socket's meanwhile. Nothing
of such a call stays behind, nothing goes past the proxy, and what comes after is as before."""

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


def nobody_answers(conversation):
    conversation.negotiation()
    conversation.hang()


def answers_once(conversation):
    hostile.Talk(conversation).begin_with_password()
    conversation.say(hostile.OK)
    conversation.hang()


def run(w, conf, words, seconds=120):
    fine(w.configured(conf, words, w.env, seconds))


def behind_a_slow_server(w, app):
    """Its relay answers each datagram with itself."""
    relay = test_udp.Relay(lambda r, data: [data])

    def slow(conversation):
        time.sleep(0.7)
        relay.script(conversation)
    w.hostile.play(slow)
    try:
        fine(w.via(s.HOSTILE, [w.app(app), bed.TARGET4, "7"]))
    finally:
        relay.close()


@test("left: a thousand connect() calls cancelled and two thousand jumped out of, through danted with a password",
      slow=30)
def _(w):
    # Nobody takes the connection: the server waits for its target.
    run(w, configured(w, s.DANTED_AUTH),
        [w.app("left_calls"), bed.PROXY4, str(s.BLACK_HOLE), "1000", s.PASSWORD])


@test("left: connect() calls cancelled and jumped out of, at a server that says nothing", on=(ASAN, TSAN))
def _(w):
    w.hostile.play(nobody_answers)
    for pipeline in ("on", "off"):
        run(w, configured(w, s.HOSTILE, "alice", "secret-word", more="pipeline = " + pipeline),
            [w.app("left_calls"), bed.TARGET4, "80", "150", "secret-word"])


@test("left: first datagrams cancelled and jumped out of", on=(ASAN, TSAN))
def _(w):
    w.hostile.play(nobody_answers)
    run(w, configured(w, s.HOSTILE, "alice", "secret-word"),
        [w.app("left_calls"), bed.TARGET4, "7", "150", "secret-word", "datagrams"])


@test("left: poll() cancelled and jumped out of while a connection is negotiated", on=(ASAN, TSAN))
def _(w):
    w.hostile.play(answers_once)
    for pipeline in ("on", "off"):
        run(w, configured(w, s.HOSTILE, "alice", "secret-word", more="pipeline = " + pipeline),
            [w.app("left_calls"), bed.TARGET4, "80", "300", "secret-word", "polls"])


@test("left: listen() jumped out of, at a server that says nothing", on=(ASAN, TSAN))
def _(w):
    w.hostile.play(nobody_answers)
    run(w, configured(w, s.HOSTILE, "alice", "secret-word"),
        [w.app("left_calls"), bed.TARGET4, "80", "100", "secret-word", "listens"])


@test("left: accept() cancelled and jumped out of", on=(ASAN, TSAN))
def _(w):
    w.hostile.play(answers_once)
    run(w, configured(w, s.HOSTILE, "alice", "secret-word"),
        [w.app("left_calls"), bed.TARGET4, "80", "100", "secret-word", "accepts"])


@test("left: datagrams go on after a first one was cancelled and another jumped out of", on=(ASAN, TSAN))
def _(w):
    behind_a_slow_server(w, "left_datagram")


@test("left: who gets the number of a descriptor whose first datagram waits is left alone", on=(ASAN, TSAN))
def _(w):
    behind_a_slow_server(w, "close_datagram")


for LABEL, PORT, USER in (("danted", s.DANTED, ""), ("danted with password", s.DANTED_AUTH, AUTH)):
    @test("left: handlers' calls go through %s, whatever they interrupt" % LABEL, on=(ASAN, PLAIN), slow=10)
    def _(w, port=PORT, user=USER):
        test_udp.targets(w)
        fine(w.via(port, [w.app("handler_calls"), bed.TARGET4, str(s.ECHO)], user, seconds=100))
