"""Chains: a connection goes through several servers, one behind the other, on the program's own socket."""

import itertools
import os
import subprocess
import time

import bed
import servers as s
from test_several import (ASYNC, CLOSED, FORKING, GOOD, HOSTILE, NODE, PROGRAMS, REFUSING, SILENT, THREADED, never_answers,
                          play, replies)
from world import ASAN, CURL, PAGE, PLAIN, PYTHON, TSAN, fine, right, test

_fresh = itertools.count()
AUTH = 'port = %d username = "%s" password = "%s"' % (s.DANTED_AUTH, s.USER, s.PASSWORD)
MICRO_AUTH = 'port = %d username = "%s" password = "%s"' % (s.MICROSOCKS_AUTH, s.USER, s.PASSWORD)
SSH = 'port = %d' % s.SSH_D
# Servers that only other servers can reach, in the namespace of the targets.
FAR = 'address = "%s" port = 1095' % bed.TARGET4
FAR6 = 'address = "%s" port = 1095' % bed.TARGET6
FAR_NAMED = 'address = "both.example" port = 1095'
FAR_AUTH = 'address = "%s" port = 1096 username = "%s" password = "%s"' % (
    bed.TARGET4, s.USER, s.PASSWORD)
FAR_MICRO = 'address = "%s" port = 1097 username = "a" password = "b"' % bed.TARGET4
_far = []


def far(w):
    """Starts the servers that are reached through others, once in a run."""
    if _far:
        return
    _far.append(True)
    s.start_danted(w.scratch, 1095, "none", bed.TARGET)
    s.start_danted(w.scratch, 1096, "username", bed.TARGET)
    bed.start(bed.TARGET, ["microsocks", "-i", "::", "-p", "1097", "-u", "a", "-P", "b"], stderr=subprocess.DEVNULL)
    for port in (1095, 1096, 1097):
        bed.wait_port(bed.TARGET, bed.TARGET4, port)


class Chain:
    """A configuration with a chain of the SERVERS, and nothing known of them at its beginning."""

    def __init__(self, w, *servers, chain="", timeout=8, rule=""):
        far(w)
        self.w, n = w, next(_fresh)
        names = ["s%d" % i for i in range(len(servers))]
        own = 'address = "%s" ' % bed.PROXY4
        text = "".join('server "%s" { timeout = %d %s }\n' % (name, timeout, words if "address" in words else own + words)
                       for name, words in zip(names, servers))
        text += 'chain "deep" { servers = {%s} %s }\n' % (", ".join('"%s"' % name for name in names), chain)
        text += rule or 'rule "all" { via = "deep" command = {"connect", "bind", "udp"} }\n'
        self.conf = s.write("%s/chain-%d.conf" % (w.scratch, n), text)
        os.chmod(self.conf, 0o600)
        self.env = dict(w.env, XDG_CACHE_HOME="%s/chain-cache-%d" % (w.scratch, n))

    def run(self, command, seconds=40, options=("-v",)):
        return self.w.configured(self.conf, command, self.env, seconds, () if self.w.linked else options)

    def probe(self, how="", host=bed.TARGET4, port=s.ECHO):
        status, out, err = self.run([self.w.app("probe"), host, str(port)] + ([how] if how else []))
        assert status == 0, (status, out, err)
        lines = err.decode().splitlines(True)
        return out.decode().strip(), "".join(line for line in lines if ": info: " not in line)


CHAINS = {
    "danted, danted": (GOOD, FAR_NAMED),
    "danted, danted, danted": (AUTH, FAR6, FAR_AUTH),
    "microsocks, danted": (MICRO_AUTH, FAR),
    "danted, microsocks": (AUTH, FAR_MICRO),
    "danted, microsocks, danted": (GOOD, FAR_MICRO, FAR_AUTH),
    "ssh -D, danted, microsocks": (SSH, FAR_AUTH, FAR_MICRO),
}

for NUMBER, (LABEL, SERVERS) in enumerate(CHAINS.items()):
    @test("chains: programs connect through " + LABEL, on=(ASAN, PLAIN) if NUMBER == 4 else PLAIN)
    def _(w, servers=SERVERS):
        chain = Chain(w, *servers)
        for _ in range(2):  # the second time it is known which of them accept pipelining
            for name in PROGRAMS:
                fine(chain.run([w.app(name), bed.TARGET4, str(s.ECHO)]))
        for name in PROGRAMS:
            fine(Chain(w, *servers).run([w.app(name), bed.TARGET4, str(s.ECHO)]))
        right(chain.run(CURL + ["http://both.example/"]), PAGE)
