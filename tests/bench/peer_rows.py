"""Measurements with a clock or with counters at run time. Each function returns rows of the table."""

import contextlib
import os
import re
import time

import bed as beds
from peerbed import Failed, PLACES, started
from report import Row


ALL = "program, server, and socksify's gateway, agent and companion, if there are any,"


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
    """Operations per second for N operations, by the processor time of program, contender and server. On an idle machine
    this is the elapsed time, because they share a processor."""
    before = spent(bed.server)
    (_, own), (others, _) = bed.run_watched(contender, mode, n)
    return n / (own + others + spent(bed.server) - before) * 1e6


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
           "octets and receive their echo. The time is the processor time of %s together. On an idle machine with "
           "one processor it is the elapsed time." % (effort.mib, ALL))
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
              "blocking connect() and close(), %d in sequence. The time is the processor time of %s together."
              % (effort.connects, ALL),
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
              "connections adds. In a namespace they are 8,000, because the gateway has two descriptors for each and "
              "may have 20,000; its memory, and that of agent and companion, is counted. The time limit is %d s."
              % (3 * effort.time_limit), digits=0, target=("at most", 128))

    def run(contender):
        wanted = 8000 if contender.static else 10000
        (opened, each), (_, others) = bed.run_watched(contender, "memory", wanted, 3 * effort.time_limit, seconds=60)
        if opened < wanted:
            row.notes[contender.name] = "%d open in %d s" % (opened, 3 * effort.time_limit)
        return [each + others / max(opened, 1)]

    return by_turns(everyone, 1, run, [row])


def send_through_relay(bed, contender, words, effort):
    """Datagrams a second, by processor time."""
    time_limit, (server, target) = 15, PLACES["fast"]
    relay, port = started(["ip", "netns", "exec", beds.PROXY, bed.build + "/tests/bench/bench_datagrams", "relay",
                           server, "1082", target])
    to = (target, "7") if contender.name == "direct" else (server, port)
    command = [bed.program("datagrams", contender), "-w", "self" if contender.speaks else "plain", words, *to, target,
               "64", "32", str(effort.datagrams)]
    before, said, why = spent(relay), "", ""
    try:
        said, (others, _) = bed.watched(contender, command, seconds=time_limit, port=int(port))
    except Failed as e:
        why = str(e)
    relayed = spent(relay) - before
    counted, past = (int(x) for x in relay.communicate("quit\n", timeout=20)[0].split())
    if past and contender.name != "direct":
        raise Failed("leaks: %d of %d went past the server" % (past, past + counted))
    if not said:
        raise Failed("not done in %d s" % time_limit if why == "hangs" else "no UDP")
    return effort.datagrams / (float(said.split()[1]) + others + relayed) * 1e6


def datagrams(bed, everyone, effort):
    rows = [Row("udp-" + words, "datagrams a second, " + title,
                "datagrams of 64 octets, 32 at a time in transit, one call each, through the relay and back. "
                "The time is the processor time of %s together. The target counts the datagrams that bypassed the "
                "relay." % ALL.replace("server", "relay"), base="floor", unit="/s", target=("at least", 0.9))
            for words, title in (("connected", "connected socket"), ("loose", "sendto()"))]
    with one_processor():
        return by_turns(everyone, effort.rounds, lambda contender: [
            send_through_relay(bed, contender, words, effort) for words in ("connected", "loose")], rows)


def asked(bed, everyone, _):
    row = Row("asked", "getaddrinfo(): leaks",
              "queries that bypass the proxy and reach the name server, for lookups of ten names.", digits=0,
              target=("at most", 0))

    def run(contender):
        bed.names.asked.clear()
        bed.run(contender, "resolve", 10)
        return [float(len(bed.names.asked))]

    return by_turns([c for c in everyone if not c.speaks], 1, run, [row])


def starts(bed, everyone, effort):
    how = ("the time until a command that does nothing (`tests/bench/nothing.c`) has ended, the median of %d starts. "
           "socksify starts the first command of a tree; for a static program this makes the namespaces and starts the "
           "gateway. A further command is started by a covered program; a static program then joins the namespaces of "
           "the tree, where another one runs already. In a strict tree nothing is left to do. System calls are those "
           "of all processes that the first command starts, until the last has ended (strace)." % effort.starts)
    rows = [Row("start", "start of a command: time", how, base="direct", unit="us"),
            Row("start-again", "start of a further command: time", how, base="direct", unit="us")]
    calls = Row("start-calls", "start of a command: system calls", how, digits=0)
    everyone = [c for c in everyone if not c.speaks]
    starter = [bed.build + "/tests/bench/bench_starts", str(effort.starts)]

    def run(contender):
        nothing = bed.program("nothing", contender)
        # The variable of another tool is set without env(1), whose start would count.
        first = contender.wrap[1:] if contender.wrap[:1] == ["env"] else contender.wrap
        again = contender.wrap + starter + [nothing]
        if contender.name == "socksify, namespace":
            line = "%s wait & %s %s; status=$?; kill $!; exit $status" % (nothing, " ".join(starter), nothing)
            again = [contender.wrap[0], "--", "sh", "-c", line]
        return [float(bed.output(contender, command)) for command in (starter + first + [nothing], again)]

    with one_processor():
        by_turns(everyone, effort.rounds, run, rows)
    return rows + by_turns(everyone, 1, lambda contender: [count_start(bed, contender)], [calls])


def count_start(bed, contender):
    """The system calls of the start of a command."""
    out = bed.scratch + "/strace"
    words = ["-E", contender.wrap[1]] if contender.wrap[:1] == ["env"] else contender.wrap
    bed.output(contender, ["strace", "-f", "-o", out, *words, bed.program("nothing", contender)])
    with open(out, encoding="ascii", errors="replace") as f:
        return sum(1 for line in f if re.search(r"^\d+ +\w+\(", line))


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
    for part in (round_trips, streams, rate, crowd, memory, datagrams, asked, starts):
        if only not in (None, part.__name__):
            continue
        begun = time.monotonic()
        yield from part(bed, everyone, effort)
        print("# %s: %.0f s" % (part.__name__, time.monotonic() - begun), flush=True)
