"""The report: the measurements as a table and as plots."""

import os
import platform
import statistics
import subprocess

NAMES = ["direct", "floor", "socksify", "socksify, namespace", "socksify, strict", "proxychains4", "tsocks", "torsocks",
         "Dante"]
COLOURS = ["#999999", "#4d4d4d", "#1b7837", "#5aae61", "#a6dba0", "#b35806", "#e08214", "#8073ac", "#542788"]


def spread(values):
    """The median and the quartiles."""
    if len(values) < 3:
        return statistics.median(values), min(values), max(values)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


class Row:
    """SAMPLES are the values of each contender, one per round, None for a failed round. If there is a BASE, values are
    shown as multiples of the value of BASE in the same round. A note is shown instead of a figure. TARGET is ("at most"
    or "at least", figure) for the median of socksify."""

    def __init__(self, key, title, how, *, unit="", digits=2, base=None, target=None):
        self.key, self.title, self.how = key, title, how
        self.unit, self.digits, self.base, self.target = unit, digits, base, target
        self.samples, self.notes = {}, {}

    def put(self, name, value):
        self.samples.setdefault(name, []).append(value)

    def values(self, name):
        """The comparable figures: ratios where there is a base."""
        own = self.samples.get(name, [])
        if not self.base:
            return [v for v in own if v is not None]
        pairs = zip(own, self.samples[self.base])
        return [v / b for v, b in pairs if v is not None and b]

    def absolute(self, name):
        own = [v for v in self.samples.get(name, []) if v is not None]
        return statistics.median(own) if own else None

    def median(self, name):
        values = self.values(name)
        return spread(values)[0] if values and name not in self.notes else None

    def cell(self, name):
        if name in self.notes:
            return self.notes[name]
        values = self.values(name)
        if not values:
            return ""
        middle, low, high = spread(values)
        text = number(middle, self.digits)
        if number(low, self.digits) != number(high, self.digits):
            text += " (%s–%s)" % (number(low, self.digits), number(high, self.digits))
        if self.base:
            absolute = self.absolute(name)
            if name == self.base:
                text = "1 = %s %s" % (number(absolute, 0 if absolute >= 100 else 2), self.unit)
        elif self.unit:  # always with the ratio to the floor
            text += " %s, %s times the floor" % (self.unit, number(middle / self.median("floor"), 1))
        return text

    def verdict(self, name="socksify"):
        if not self.target:
            return ""
        word, bound = self.target
        text = "%s %s: " % (word, number(bound, self.digits if bound % 1 else 0))
        figure = self.median(name)
        if figure is None:
            return text + "**not met**"
        if self.met(name):
            return text + "met"
        return text + "**not met** (%s)" % number(figure, self.digits)

    def met(self, name="socksify"):
        figure = self.median(name)
        if figure is None:
            return False
        figure = round(figure, self.digits)
        word, bound = self.target
        return figure <= bound if word == "at most" else figure >= bound


def number(value, digits):
    return "{:,.{}f}".format(value, digits)


def machine():
    return "%d processors, Linux %s, %s, load %.1f at the end" % (
        os.cpu_count(), platform.release().split("-")[0], platform.machine(), os.getloadavg()[0])


HEAD = """# Benchmarks

`tests/bench/peers.py` made this page. It measures all tools in turn, against one server, and writes this file and the
plots. Machine: %(machine)s.

- **direct**: an ordinary program (`tests/bench/peer_client.c`), without a server and without a preloaded object.
- **floor**: the same program with its own SOCKS5 client, which sends greeting and request in one write.
- **socksify**, **proxychains4**, **tsocks**, **torsocks**, **Dante** (its client): the same ordinary program, covered
  by each tool. socksify is this source tree, the others are packages of Debian 12.
- **socksify, namespace**, **socksify, strict**: a static build of this program, which no preload object covers, in a
  network namespace (`--engine=namespace`, `--strict`). What the gateway, the agent and the companion spend is counted.

A figure is a median, with the quartiles in brackets. In a row with a "1 =", the figures are multiples of that
value. Each is compared with the value of the same round, so that other load of the machine affects both. Counts of
instructions (callgrind) and of system calls (strace) do not depend on the speed of the machine. The server
(`tests/bench/peer_server.c`) is also the target, and detects traffic that bypasses the proxy.

"""


def table(rows):
    lines = ["| " + " | ".join(["what"] + NAMES + ["target"]) + " |",
             "| --- |" + " ---: |" * len(NAMES) + " --- |"]
    for row in rows:
        lines.append("| %s | %s | %s |" % (row.title, " | ".join(row.cell(n) for n in NAMES),
                                           row.verdict()))
    return "\n".join(lines) + "\n"


def explained(rows):
    seen, lines = set(), []
    for row in rows:
        if row.how not in seen:
            titles = [r.title for r in rows if r.how == row.how]
            lines.append("- **%s**: %s" % ("**; **".join(titles), row.how))
            seen.add(row.how)
    return "\n".join(lines) + "\n"


PLOT = """set terminal svg size 860,360 font "sans-serif,12" background "#ffffff"
set output "%(path)s"
set title "%(title)s"
set style data histogram
set style histogram clustered gap 1 errorbars linewidth 1
set style fill solid 0.9 noborder
set boxwidth 1
set grid ytics lc rgb "#dddddd"
set key outside right top
set ylabel "%(label)s"
%(scale)s
set yrange [%(low)s:*]
set datafile missing "-"
plot %(series)s
"""


def plot(path, title, label, rows, *, log=False):
    """A group of bars per row and a bar per contender, which is missing if the contender has no figure."""
    names = [n for n in NAMES if any(row.median(n) is not None for row in rows)]
    data, series = "$data << EOD\n", []
    for row in rows:
        data += '"%s"' % row.label
        for name in names:
            if row.median(name) is None:
                data += " - - -"
            else:
                middle, low, high = (max(v, 1) if log else v for v in spread(row.values(name)))
                data += " %g %g %g" % (middle, low, high)
        data += "\n"
    for i, name in enumerate(names):
        series.append('$data using %d:%d:%d:xtic(1) title "%s" linecolor rgb "%s"' % (
            3 * i + 2, 3 * i + 3, 3 * i + 4, name, COLOURS[NAMES.index(name)]))
    script = data + "EOD\n" + PLOT % {
        "path": path, "title": title, "label": label, "series": ", ".join(series),
        "scale": "set logscale y" if log else "", "low": 1 if log else 0}
    subprocess.run(["gnuplot", "-"], input=script, text=True, check=True, timeout=60)


# file, title, label of the axis, rows by key with the label of each, whether the axis is logarithmic
PLOTS = [
    ("connect", "Round trips on a link with delay", "round trips",
     [("rtt", "connect"), ("rtt-login", "connect, user and password"), ("first", "first octet"),
      ("first-login", "first octet, user and password")], False),
    ("crowd", "500 connects at once", "times the floor",
     [("crowd-fast", "all writable"), ("crowd-slow", "all writable, link with delay")], True),
    ("streams", "Connections once made, and connects a second", "times the floor",
     [("up", "out"), ("down", "in"), ("pingpong", "64 octets there and back"),
      ("rate", "connects a second")], False),
    ("counts", "Instructions added", "instructions",
     [("exec", "exec"), ("connect-instructions", "connect()"),
      ("epoll-instructions", "connect() and epoll"), ("resolve-instructions", "getaddrinfo()"),
      ("hooked", "call on a foreign descriptor")], True),
    ("calls", "System calls added", "system calls",
     [("connect-calls", "connect()"), ("epoll-calls", "connect() and epoll"),
      ("resolve-calls", "getaddrinfo()")], False),
    ("datagrams", "Datagrams a second through the relay", "times the floor",
     [("udp-connected", "connected"), ("udp-loose", "not connected")], False),
    ("memory", "Memory of an open connection", "octets", [("memory", "")], False),
    ("start", "Start of a command", "times the bare command",
     [("start", "the first of a tree"), ("start-again", "a further one")], False),
]


def write(folder, rows):
    """Writes BENCHMARKS.md and its plots."""
    by_key = {row.key: row for row in rows}
    text = HEAD % {"machine": machine()}
    text += table(rows) + "\n"
    for name, title, label, shown, log in PLOTS:
        chosen = []
        for key, below in shown:
            if key in by_key and any(by_key[key].median(n) is not None for n in NAMES):
                by_key[key].label = below
                chosen.append(by_key[key])
        if chosen:
            os.makedirs(folder + "/benchmarks", exist_ok=True)
            plot("%s/benchmarks/%s.svg" % (folder, name), title, label, chosen, log=log)
            text += "![%s](benchmarks/%s.svg)\n\n" % (title, name)
    text += "## What is measured, and how\n\n" + explained(rows)
    with open(folder + "/BENCHMARKS.md", "w", encoding="utf-8") as f:
        f.write(text)
