"""Measurements with a clock or with counters at run time. Each function returns rows of the table."""

import contextlib
import os
import time

import bed as beds
from peerbed import Failed, PLACES, started
from report import Row


def by_turns(everyone, rounds, run, rows, *, seconds=20):
    """RUN(contender) returns one figure per row. A contender that fails gets a note instead and is not run again. One
    that takes more than SECONDS has fewer rounds."""
    out = {}
    for number in range(rounds):
        at = number % len(everyone)
        for contender in everyone[at:] + everyone[:at]:
            name = contender.name
            if out.get(name, 0) > seconds:
                continue
            begun = time.monotonic()
            try:
                figures = run(contender)
            except Failed as e:
                out[name] = float("inf")
                for row in rows:
                    row.notes[name] = str(e)
                continue
            out[name] = out.get(name, 0) + time.monotonic() - begun
            for row, figure in zip(rows, figures):
                if figure is not None:
                    # The place of a value in the list is the number of its round.
                    have = row.samples.setdefault(name, [])
                    have.extend([None] * (number - len(have)))
                    have.append(figure)
    return rows


@contextlib.contextmanager
def one_processor(*processes):
    """This process, its children and PROCESSES run on one processor, so that the work is measured and not the placement
    by the scheduler."""
    before = os.sched_getaffinity(0)
    everyone = [0] + [p.pid for p in processes]
    for pid in everyone:
        os.sched_setaffinity(pid, {max(before)})
    try:
        yield
    finally:
        for pid in everyone:
            os.sched_setaffinity(pid, before)


def spent(process):
    """The processor time of PROCESS so far, in microseconds."""
    total = 0
    for thread in os.listdir("/proc/%d/task" % process.pid):
        with open("/proc/%d/task/%s/schedstat" % (process.pid, thread), encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e3


def by_work(bed, contender, mode, n):
    """Operations per second for N operations, by the processor time of program and server. On an idle machine this is the
    elapsed time, because they share a processor."""
    before = spent(bed.server)
    _, own = bed.run(contender, mode, n)[0]
    return n / (own + spent(bed.server) - before) * 1e6


def round_trips(bed, everyone, effort):
    how = ("a blocking connect() over a link with a round-trip time of %d ms, and the time until one octet was "
           "sent and echoed after it. The unit is the round trip: 1 is the time of a direct connect(). The "
           "minimum through a server is 2 (connect) and 3 (first octet)." % (bed.delay / 1000))
    rows = [Row("rtt", "round trips to connect", how, base="direct", unit="us",
                target=("at most", 2.1)),
            Row("first", "round trips to the first octet", how),
            Row("rtt-login", "round trips to connect, user and password", how,
                target=("at most", 2.1)),
            Row("first-login", "round trips to the first octet, user and password", how)]
    unit = []  # the round-trip time of the link, measured by a direct connect()

    def run(contender):
        figures = []
        for login in (False, True):
            if login and contender.name == "direct":
                break
            lines = bed.run(contender, "rtt", 3, link="slow", login=login)
            figures += [sorted(line[i] for line in lines)[1] for i in (0, 1)]
        if contender.name == "direct":
            unit.append(figures[0])
        return figures

    by_turns(everyone, effort.rounds, run, rows)
    typical = sorted(unit)[len(unit) // 2]
    for row in rows[1:]:
        row.samples = {n: [v / typical for v in values if v] for n, values in row.samples.items()}
    return rows


def streams(bed, everyone, effort):
    how = ("one connection over virtual Ethernet: %d MiB out, the same amount in, and the time to send 64 "
           "octets and receive their echo. The time is the processor time of program and server together. On an "
           "idle machine with one processor it is the elapsed time." % effort.mib)
    rows = [Row("up", "bulk out", how, base="floor", unit="MiB/s", target=("at least", 0.97)),
            Row("down", "bulk in", how, base="floor", unit="MiB/s", target=("at least", 0.97)),
            Row("pingpong", "64 octets there and back: time", how, base="floor", unit="us",
                target=("at most", 1.05))]

    def run(contender):
        up, down = (by_work(bed, contender, way, effort.mib) for way in ("up", "down"))
        return up, down, 1e6 / by_work(bed, contender, "pingpong", effort.pingpongs)

    with one_processor(bed.server):
        return by_turns(everyone, effort.rounds, run, rows)


def rate(bed, everyone, effort):
    row = Row("rate", "connects a second",
              "blocking connect() and close(), %d in sequence. The time is the processor time of program and "
              "server together." % effort.connects,
              base="floor", unit="/s")
    with one_processor(bed.server):
        return by_turns(everyone, effort.rounds,
                        lambda c: [by_work(bed, c, "rate", effort.connects)], [row])


def crowd(bed, everyone, effort):
    rows = []
    for link, words in (("fast", ""), ("slow", ", link with delay")):
        how = ("one program with one epoll instance starts 500 non-blocking connects at once. Measured are the "
               "time until the last of them is writable without an error, and the duration of the longest "
               "connect() call, without the time that the machine spent on other processes. Afterwards every "
               "connection must echo an octet. The time limit is %d s." % effort.time_limit)
        part = [Row("crowd-%s-n" % link, "500 connects at once%s: usable" % words, how, digits=0,
                    target=("at least", 500)),
                Row("crowd-" + link, "500 connects at once%s: until all are writable" % words, how,
                    base="floor", unit="us", target=("at most", 1.3)),
                Row("longest-" + link, "500 connects at once%s: longest single call" % words, how,
                    unit="ms", target=("at most", 1))]

        def run(contender, link=link):
            ready, usable, total, longest = bed.run(contender, "crowd", 500, effort.time_limit,
                                                    link=link)[0]
            return usable, total if usable == ready == 500 else None, longest / 1e3

        by_turns(everyone, effort.rounds, run, part, seconds=effort.time_limit * 0.7)
        for name in part[0].samples:
            if name not in part[1].samples:
                part[1].notes[name] = "never"
        rows += part
    return rows


def memory(bed, everyone, effort):
    row = Row("memory", "memory of an open connection",
              "octets of memory, of the program or shared by its process tree, that each of 10,000 open "
              "connections adds. The time limit is %d s."
              % (3 * effort.time_limit), digits=0, target=("at most", 128))

    def run(contender):
        opened, each = bed.run(contender, "memory", 10000, 3 * effort.time_limit)[0]
        if opened < 10000:
            row.notes[contender.name] = "%d open in %d s" % (opened, 3 * effort.time_limit)
        return [each]

    return by_turns(everyone, 1, run, [row])


def datagrams(bed, everyone, effort):
    program, time_limit = bed.build + "/tests/bench/bench_datagrams", 15
    server, target = PLACES["fast"]
    rows = [Row("udp-" + words, "datagrams a second, " + title,
                "datagrams of 64 octets, 32 at a time in transit, one call each, through the relay and back. "
                "The time is the processor time of program and relay together. The target counts the datagrams "
                "that bypassed the relay.", base="floor", unit="/s", target=("at least", 0.9))
            for words, title in (("connected", "connected socket"), ("loose", "sendto()"))]

    def run(contender):
        figures = []
        for words in ("connected", "loose"):
            relay, port = started(["ip", "netns", "exec", beds.PROXY, program, "relay", server,
                                   "1082", target])
            to = (target, "7") if contender.name == "direct" else (server, port)
            before = spent(relay)
            try:
                said = bed.covered(contender, [
                    program, "self" if contender.speaks else "plain", words, *to, target, "64",
                    "32", str(effort.datagrams)], seconds=time_limit, port=int(port))
            except Failed as e:
                said, why = "", str(e)
            relayed = spent(relay) - before
            counted, past = (int(x) for x in relay.communicate("quit\n", timeout=20)[0].split())
            if past and contender.name != "direct":
                raise Failed("leaks: %d of %d went past the server" % (past, past + counted))
            if not said:
                raise Failed("not done in %d s" % time_limit if why == "hangs" else "no UDP")
            figures.append(effort.datagrams / (float(said.split()[1]) + relayed) * 1e6)
        return figures

    with one_processor():
        return by_turns(everyone, effort.rounds, run, rows)


def asked(bed, everyone, _):
    row = Row("asked", "getaddrinfo(): leaks",
              "queries that bypass the proxy and reach the name server, for lookups of ten names.", digits=0,
              target=("at most", 0))

    def run(contender):
        bed.names.asked.clear()
        bed.run(contender, "resolve", 10)
        return [float(len(bed.names.asked))]

    return by_turns([c for c in everyone if not c.speaks], 1, run, [row])


def sealed(build, scratch, effort):
    import sealed as seals
    rows = []
    with seals.Bed(build, scratch) as bed:
        for level, wanted in seals.WANTED.items():
            how = ("%d MiB over loopback through the bridge to a server that requires Kerberos. 1 is gss_wrap() "
                   "alone in one process, in the same round. The other tools, as packaged by Debian, have no "
                   "GSSAPI." % effort.sealed)
            part = [Row("gss-%s-%s" % (level, way), "GSSAPI %s, %s" % (level, title), how,
                        base="floor", unit="MB/s", target=("at least", wanted))
                    for way, title in (("up", "out"), ("down", "in"))]
            for _ in range((effort.rounds + 1) // 2):
                alone = bed.run("wrap", seals.LEVELS.index(level), effort.sealed)
                for row, way in zip(part, ("up", "down")):
                    row.put("floor", alone / 1e6)
                    row.put("socksify", bed.run(way, bed.ports[level], effort.sealed) / 1e6)
            for row in part:
                for name in ("proxychains4", "tsocks", "torsocks", "Dante"):
                    row.notes[name] = "no GSSAPI"
            rows += part
    return rows


def measured(bed, everyone, effort, only=None):
    """All rows except those that count instructions and system calls."""
    for part in (round_trips, streams, rate, crowd, memory, datagrams, asked):
        if only not in (None, part.__name__):
            continue
        begun = time.monotonic()
        yield from part(bed, everyone, effort)
        print("# %s: %.0f s" % (part.__name__, time.monotonic() - begun), flush=True)
