"""Through a server that wants Kerberos: real programs over the bridge, at every level."""

import hashlib
import os

import bed
import kerberos
import servers as s
from run import CURL, PAGE, PYTHON, URL4, right, test

LEVELS = ("clear", "integrity", "confidentiality")


def krb(w):
    """Made by the first test that needs it."""
    if not hasattr(w, "kerberos"):
        w.kerberos = kerberos.Kerberos(w.scratch)
    return w.kerberos


def alone(w, level="confidentiality", port=2080, options=(), **more):
    """A bridge standing alone on the client's loopback."""
    k = krb(w)
    bridge = bed.start(bed.CLIENT, ["env"] + k.words(k.realm.client) + [
        w.build + "/bridge/socks5-bridge", "--listen", "127.0.0.1:%d" % port, "-c",
        k.conf(level, **more), *options], stderr=open(w.scratch + "/bridge.log", "a"))
    bed.wait_port(bed.CLIENT, "127.0.0.1", port)
    return bridge


def digest(w):
    with open(w.scratch + "/www/20m", "rb") as f:
        return hashlib.sha256(f.read()).hexdigest().encode()


for level in LEVELS:
    @test("gssapi: a bridge standing alone, 20 MB under " + level)
    def _(w, level=level):
        bridge = alone(w, level)
        try:
            command = "curl -sS -m 30 --socks5-hostname 127.0.0.1:2080 %s20m | sha256sum" % URL4
            right(bed.run(bed.CLIENT, ["sh", "-c", command], w.env), digest(w))
        finally:
            bed.stop(bridge)
