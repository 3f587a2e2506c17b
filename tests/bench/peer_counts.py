"""Counts of instructions and system calls of the tools. They do not depend on the speed of the machine."""

import concurrent.futures
import os
import subprocess
import tempfile

import bed as beds
import count
from report import Row

STREAMS = ["read", "write", "send", "recv"]
CALLS = ["close", "getsockopt", "getpeername", "poll", "select", "epoll_wait"]
CALLGRIND, STRACE = "instructions", "syscalls"
ADDED = ("what one call adds to the count of the same program without the tool: the difference between a run "
         "with N calls and a run with 2N calls (callgrind, strace). The server is not counted. Direct: the "
         "count of one call.")


class Counter(count.Counter):
    time_limit = 60

    def __init__(self, bed, contender, login=False):
        self.bed, self.contender = bed, contender
        self.object = contender.preload
        self.prefix = ["ip", "netns", "exec", beds.CLIENT]

    def environment(self, shimmed):
        return self.bed.environment(self.contender)

    def once(self, kind, command):
        with tempfile.TemporaryDirectory(dir=self.bed.scratch) as self.scratch:
            return getattr(self, kind)(command, bool(self.object))

    def each(self, kind, command, n):
        """The count of one call. The last argument of COMMAND is the number of its calls."""
        few, many = (self.once(kind, command + [str(times)]) for times in (n, 2 * n))
        return (many - few) / n


def client(bed, contender, mode):
    return bed.command(contender, mode)


def hooked(bed, _, name):
    return [bed.build + "/tests/bench/bench_hooked_calls", name]


def plan(bed, effort):
    """(row, number of calls, function that returns the command for each of the words, the words, what is counted)"""
    rows = [(Row("exec", "exec: instructions added", "instructions of /bin/true, counted by callgrind.",
                 digits=0, target=("at most", 50000)), 0, None, ["/bin/true"], CALLGRIND)]
    for word, title in (("rate", "connect()"), ("epoll", "connect(), non-blocking, and epoll")):
        key = "connect" if word == "rate" else "epoll"
        rows.append((Row(key + "-instructions", title + ": instructions added", ADDED, digits=0,
                         target=("at most", 2000)), 20, client, [word], CALLGRIND))
        rows.append((Row(key + "-calls", title + ": system calls added", ADDED, digits=1,
                         target=("at most", 10)), 20, client, [word], STRACE))
        if not effort.calls:
            return rows
    rows.append((Row("resolve-instructions", "getaddrinfo(): instructions",
                     "one complete lookup of a name, with or without a query to the name server.", digits=0),
                 20, client, ["resolve"], CALLGRIND))
    rows.append((Row("resolve-calls", "getaddrinfo(): system calls", rows[-1][0].how, digits=1),
                 20, client, ["resolve"], STRACE))
    rows.append((Row("name-instructions", "getaddrinfo() and connect(): instructions added",
                     "a lookup of a name and a connection to it, without the creation and the closing of the "
                     "socket.",
                     digits=0, target=("at most", 5000)), 20, client, ["name", "none"], CALLGRIND))
    rows.append((Row("stream-calls",
                     "read, write, send, recv on a foreign descriptor: instructions added",
                     "the maximum over these calls: " + ADDED, digits=0, target=("at most", 20)),
                 500, hooked, STREAMS[:effort.calls], CALLGRIND))
    rows.append((Row("hooked", "other hooked call on a foreign descriptor: instructions added",
                     "the maximum over %s: %s" % (", ".join(CALLS[:effort.calls]), ADDED), digits=0,
                     target=("at most", 20)), 500, hooked, CALLS[:effort.calls], CALLGRIND))
    return rows


def figure(bed, contender, n, command, words, kind):
    counter = Counter(bed, contender)
    if not n:
        return [counter.once(kind, words)]
    each = [counter.each(kind, command(bed, contender, word), n) for word in words]
    return each


def counted(bed, everyone, effort):
    """The rows. Several counts run at a time, because nothing depends on the clock."""
    tasks = {}
    rows = plan(bed, effort)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for row, n, command, words, kind in rows:
            for contender in everyone:
                if contender.speaks and (command is not client or words[0] in ("resolve", "name")):
                    continue
                tasks[row.key, contender.name] = pool.submit(figure, bed, contender, n, command,
                                                             words, kind)
        for row, _, command, words, kind in rows:
            fill_row(row, words, {c.name: tasks.get((row.key, c.name)) for c in everyone})
    return [row for row, *_ in rows]


def fill_row(row, words, tasks):
    base = tasks["direct"].result()
    for name, task in tasks.items():
        try:
            if not task:
                continue
            each = task.result()
        except (RuntimeError, ValueError, subprocess.SubprocessError):
            row.notes[name] = "fails"
            continue
        if words[0] == "resolve":
            row.put(name, each[0])
        elif words[0] == "name":
            # Without the creation and closing of the socket.
            row.put(name, each[0] - base[1])
        elif name == "direct":
            row.put(name, max(each))
        else:
            row.put(name, max(0, max(one - bare for one, bare in zip(each, base))))
