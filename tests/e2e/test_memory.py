"""Out of memory: each allocation and each mapping of a process fails in turn, from its start on, in the program and in
its libraries. The result is an error that says so, or success. No packet bypasses the proxy, no descriptor leaks, and
the next attempt succeeds."""

import os

import bed
import servers as s
import test_udp
from world import INSIDE, PLAIN, fine, test

# Repeats the command given as arguments. Each time another allocation fails.
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
    LABEL = "all allocations from one on fail" if LASTING else "one allocation fails"
    for SCENARIO in SCENARIOS:
        @test("memory: %s with a server from the environment succeeds or reports why: %s" % (SCENARIO, LABEL), on=(PLAIN, INSIDE), slow=20)
        def _(w, scenario=SCENARIO, lasting=LASTING):
            each(w, scenario, words_of(w, []) + [URL, LONG], lasting)

        @test("memory: %s with shared memory of a parent succeeds or reports why: %s" % (SCENARIO, LABEL), on=PLAIN, slow=20)
        def _(w, scenario=SCENARIO, lasting=LASTING):
            each(w, scenario, [], lasting, [w.socksify, "-x", URL.split("=")[1], "--"])
    @test("memory: a configuration file is read or the error is reported: %s" % LABEL, on=(PLAIN, INSIDE), slow=20)
    def _(w, lasting=LASTING):
        each(w, "blocking", words_of(w, []) + ["SOCKS5_CONF=" + configured(w)], lasting)


@test("memory: a configuration file is read or the error is reported with less and less memory", on=PLAIN)
def _(w):
    fine(w.preloaded(None, [w.app("failing_memory"), bed.TARGET4, str(s.ECHO), "scarce"], 100,
                     SOCKS5_CONF=configured(w)))
