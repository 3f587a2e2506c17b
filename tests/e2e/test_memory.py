"""Memory that cannot be had: each allocation and each mapping of a process fails in turn, from its very
beginning on, whoever makes it. What comes of it is an error that says so, or success; nothing goes past
the proxy, no descriptor is lost, and the next attempt succeeds."""

import os

import bed
import servers as s
import test_udp
from world import INSIDE, PLAIN, fine, test

# The command that is given, again and again.
EACH = """
open=$("$@") || { [ $? = 77 ] || { echo "where nothing fails" >&2; exit 1; }; }
export FAIL_OPEN=$open
n=1
while FAIL_AT=$n "$@"; status=$?; [ $status = 0 ] && [ $n -lt 3000 ]; do n=$((n + 1)); done
[ $status = 77 ] || { echo "ended with $status at number $n, $FAIL_ON" >&2; exit 1; }
[ $n -gt 1 ] || { echo "nothing to fail" >&2; exit 1; }
echo "$n of them"
"""
SCENARIOS = ("blocking", "polled", "high", "names", "question", "datagram", "called")


def configured(w):
    path = s.write(w.scratch + "/memory.conf", 'server "corp" { address = "%s" port = %d }\n'
                   'rule "all" { command = {"connect", "bind", "udp"} via = {"corp"} }\n'
                   % (bed.PROXY4, s.DANTED))
    os.chmod(path, 0o600)
    return path


def each(w, scenario, words, lasting, covering=()):
    test_udp.targets(w)
    env = dict(w.env, **({"FAIL_ON": "1"} if lasting else {}))
    app = [w.app("failing_memory"), bed.TARGET4, str(s.ECHO), scenario]
    status, out, err = bed.run(bed.CLIENT, list(covering) + ["sh", "-c", EACH, "sh", "env"]
                               + words + app, env, 200)
    assert status == 0, (status, out, err[-2000:].decode(errors="replace"))


def words_of(w, more):
    return [] if w.linked else ["LD_PRELOAD=" + w.object] + more


LONG = "NO_PROXY=" + ",".join("host-%d.example" % i for i in range(200))
URL = "SOCKS5_SERVER=socks5h://%s:%d" % (bed.PROXY4, s.DANTED)
for LASTING in (False, True):
    LABEL = "all from one on" if LASTING else "one"
    for SCENARIO in SCENARIOS:
        @test("memory: %s, an address of the environment's: %s fails" % (SCENARIO, LABEL), on=(PLAIN, INSIDE), slow=20)
        def _(w, scenario=SCENARIO, lasting=LASTING):
            each(w, scenario, words_of(w, []) + [URL, LONG], lasting)

        @test("memory: %s, a tree of an ancestor's: %s fails" % (SCENARIO, LABEL), on=PLAIN, slow=20)
        def _(w, scenario=SCENARIO, lasting=LASTING):
            each(w, scenario, [], lasting, [w.socksify, "-x", URL.split("=")[1], "--"])
    @test("memory: a configuration file: %s fails" % LABEL, on=(PLAIN, INSIDE), slow=20)
    def _(w, lasting=LASTING):
        each(w, "blocking", words_of(w, []) + ["SOCKS5_CONF=" + configured(w)], lasting)


@test("memory: a configuration file, and less and less room for what is in it", on=PLAIN)
def _(w):
    fine(w.preloaded(None, [w.app("failing_memory"), bed.TARGET4, str(s.ECHO), "scarce"], 100,
                     SOCKS5_CONF=configured(w)))
