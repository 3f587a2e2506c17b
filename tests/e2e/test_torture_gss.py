"""A server that speaks GSSAPI and fails at an octet of its messages, in every way, through the bridge and with the
library's blocking calls. The program gets an errno that fits, in time, and only octets of the server; neither it nor
the bridge leaks a descriptor.

tests/unit/test_gss_link.c does this at every octet, without a KDC or a socket. Here the server fails at the first, a
middle and the last octet of each message, or at all octets if TORTURE=all."""

import itertools
import os

import bed
import test_gssapi
from kerberos import NAME, krb
from world import INSIDE, PLAIN, test
from test_torture import Client

PORT = 80
REFUSALS = {"ECONNREFUSED", "EACCES", "EPROTO", "ECONNABORTED", "ECONNRESET"}
WAYS = ("close", "reset", "half-close", "garbage")
ALL = os.environ.get("TORTURE") == "all"


def playing(w, scenarios):
    return test_gssapi.playing(w, [scenario.replace("half-close", "half_close")
                                   for scenario in scenarios])


def client_of(w, level, seconds):
    k = krb(w)
    conf = k.conf(level, port=test_gssapi.HOSTILE_PORT, more=" timeout = %d" % seconds)
    return Client(w, SOCKS5_CONF=conf, **k.realm.client)


WHOLE = "octet-close-99-0"


def lengths(w, level):
    """The lengths of its messages: a selection, a token, a level, a reply, and four octets of data."""
    server = playing(w, [WHOLE])
    try:
        with client_of(w, level, 20) as client:
            assert client.order("block", PORT) == ("ok", 4)
        return [int(word) for word in server.stdout.readline().split()]
    finally:
        bed.stop(server)


def chosen(size):
    """The octets to fail at in a message of SIZE octets. A message header has four octets."""
    return range(size) if ALL else sorted({0, 3, size // 2, size - 1} & set(range(size)))


def silent(size):
    """The octets to fall silent at. Each takes a timeout of one second."""
    return (0, 1, size - 1) if ALL else (size // 2,)


def the_bridge(w):
    test_gssapi.eventually(lambda: len(test_gssapi.bridges(w)) == 1)
    return test_gssapi.bridges(w)[0]


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def torture(w, level, ways, hows, seconds, chosen_of):
    sizes = lengths(w, level)
    data = len(sizes) - 1
    places = [(number, at) for number, size in enumerate(sizes) for at in chosen_of(number, size)]
    cases = list(itertools.product(places, ways, hows))
    # One good conversation before, which may open descriptors that the bridge keeps.
    server = playing(w, [WHOLE] + ["octet-%s-%d-%d" % (way, *place) for place, way, _ in cases])
    try:
        with client_of(w, level, seconds) as client:
            assert client.order("block", PORT)[0] == "ok"
            bridge = the_bridge(w)
            before = descriptors(bridge)
            for (number, at), way, how in cases:
                what = "%s at message %d of %s, octet %d, %s: " % (way, number, sizes, at, how)
                got, octets = client.order(how, PORT, what)
                if number < data:
                    allowed = {"ETIMEDOUT"} if way == "stall" else REFUSALS
                    assert got in allowed, what + got
                else:
                    # An end between messages is an orderly end of file; one within a message is not.
                    clean = way == "half-close" and at == 0
                    allowed = {"ok"} if clean else {"ok", "ECONNRESET"}
                    assert got in allowed and octets <= 0, what + "%s %d" % (got, octets)
            test_gssapi.eventually(lambda: descriptors(bridge) <= before, 20)
    finally:
        bed.stop(server)


for LEVEL in ("integrity", "confidentiality"):
    test("torture: GSSAPI failures at octets of every message have the right result, %s" % LEVEL)(
        lambda w, n=LEVEL: torture(w, n, WAYS, ("block", "epoll"), 20,
                          lambda number, size: chosen(size)))


@test("torture: GSSAPI silence after some octets ends with ETIMEDOUT")
def _(w):
    torture(w, "confidentiality", ("stall",), ("block",), 1,
            lambda number, size: silent(size) if number < 4 else ())


# --- the library ---


def caller(w, seconds):
    """A program that calls the library."""
    return Client(w, alone=[w.app("torture_gss"), bed.PROXY4, str(test_gssapi.HOSTILE_PORT), NAME,
                            str(seconds * 1000)], **krb(w).realm.client)


def refusals(number, way):
    """The errnos for a failure in the selection, the two messages of the method, or the reply."""
    if way == "stall":
        return {"ETIMEDOUT"}
    end = ("ECONNREFUSED", "EACCES", "EACCES", "ECONNREFUSED")[number]
    if way != "garbage":
        return {end}
    # "Abort", an unknown type or version; or a wrong length, so that the client waits until the end.
    return {"EPROTO", "EACCES", end}


def torture_library(w, level, ways, seconds, chosen_of):
    server = playing(w, [WHOLE])
    try:
        with caller(w, 20) as client:
            assert client.order(level, PORT) == ("ok", 4)
        sizes = [int(word) for word in server.stdout.readline().split()]
    finally:
        bed.stop(server)
    data = len(sizes) - 1
    cases = [(number, at, way) for number, size in enumerate(sizes) for at in chosen_of(number, size)
             for way in ways]
    server = playing(w, [WHOLE] + ["octet-%s-%d-%d" % (way, number, at) for number, at, way in cases])
    try:
        with caller(w, seconds) as client:
            assert client.order(level, PORT)[0] == "ok"  # may open descriptors that the machine's GSSAPI library keeps
            for number, at, way in cases:
                what = "%s at message %d of %s, octet %d, %s: " % (way, number, sizes, at, level)
                got, octets = client.order(level, PORT, what)
                if number < data:
                    allowed = refusals(number, way)
                elif at == 0 and way in ("close", "half-close"):
                    allowed = {"ok"}  # an end between messages is an orderly end of file
                else:
                    allowed = {"garbage": {"EPROTO"}, "reset": {"EPROTO", "ECONNRESET"},
                               "stall": {"ok"}}.get(way, {"EPROTO"})
                assert got in allowed and octets <= 0, what + "%s %d" % (got, octets)
    finally:
        bed.stop(server)


for LEVEL in ("integrity", "confidentiality"):
    test("torture: GSSAPI failures at octets of every message have the right result in the library, %s" % LEVEL, on=(PLAIN, INSIDE))(
        lambda w, n=LEVEL: torture_library(w, n, WAYS, 20, lambda number, size: chosen(size)))


@test("torture: GSSAPI silence after some octets ends in time in the library", on=(PLAIN, INSIDE))
def _(w):
    torture_library(w, "confidentiality", ("stall",), 1, lambda number, size: silent(size))
