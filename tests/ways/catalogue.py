#!/usr/bin/python3
"""The table of the ways past the proxy: reads and writes ways.tsv and docs/WAYS.md.

catalogue.py            compares docs/WAYS.md and the figures of docs/COMPARISON.md with the table
catalogue.py --write    writes docs/WAYS.md, and the figures"""

import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "..", "..")
TABLE, PAGE, COMPARISON = HERE + "/ways.tsv", TOP + "/docs/WAYS.md", TOP + "/docs/COMPARISON.md"
# The programs under which the ways run, and their names in the documents.
COLUMNS = {"bare": "bare", "hooks": "socksify, hooks alone", "fence": "socksify", "torsocks": "torsocks 2.4",
           "dante": "Dante's client 1.4.2", "proxychains": "proxychains-ng 4.16", "tsocks": "tsocks 1.8"}
FIELDS = ["name", "cause", "user", *COLUMNS, "description"]
# A race is open if a packet left in one run of many. A run in which none leaves proves nothing.
RACES = {"thread_race", "thread_race_unseen", "thread_changes_address"}
# Open within the fence where no companion looks at the socket: libc's own calls to UNIX sockets have that length.
WITHOUT_COMPANION = {"instruction_connect_110"}
OPEN, CLOSED, MISSING = "open", "closed", "missing"


def text_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def read():
    lines = [line.split("\t") for line in text_of(TABLE).splitlines() if not line.startswith("#")]
    assert lines[0] == FIELDS, lines[0]
    return [dict(zip(FIELDS, line, strict=True)) for line in lines[1:]]


def write(rows):
    for row in rows:
        row["fence"] = OPEN if row["fence"] == OPEN else bare_or(CLOSED, row["bare"])
    with open(TABLE, "w", encoding="utf-8") as f:
        f.write(HEAD + "\t".join(FIELDS) + "\n")
        f.writelines("\t".join(row[field] for field in FIELDS) + "\n" for row in rows)
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(page(rows))
    text = re.sub(r"\| program \| ways closed, of .*\n(?:\|.*\n)*", lambda _: summary(rows), text_of(COMPARISON))
    with open(COMPARISON, "w", encoding="utf-8") as f:
        f.write(text)


def runs(rows):
    """The runs of ROWS: (name, whether as root). A way for any user runs as both."""
    return [(row["name"], root) for row in rows for root in (False, True) if root or row["user"] == "any"]


def together(own, bare=None):
    """The verdict of several runs of a way: open if one of them is. BARE is the verdict without a program around the way:
    what the machine has, and the program refuses as if the machine lacked it, is closed."""
    verdicts = [run.verdict for run in own]
    if OPEN in verdicts:
        return OPEN
    return bare_or(MISSING if CLOSED not in verdicts else CLOSED, bare)


def bare_or(verdict_alone, bare):
    return verdict_alone if bare is None else MISSING if bare == MISSING else CLOSED


def ways_of(rows):
    """The rows that are ways on the machine of the measurement: a packet leaves when they run bare."""
    return [row for row in rows if row["bare"] == OPEN]


def closed(rows, column):
    return sum(row[column] != OPEN for row in ways_of(rows))


HEAD = """# The ways past the proxy. name: of the function in this folder. user: whether the way needs root. The columns from bare
# to tsocks are verdicts: open (a packet left by another way than to the proxy), closed, missing (the machine of the
# measurement lacks what the way needs). measure.py writes them. fence: what must be, see docs/WAYS.md.
"""


def summary(rows):
    """How many ways each program closes."""
    total = len(ways_of(rows))
    lines = ["| program | ways closed, of %d |" % total, "| --- | ---: |"]
    for column in ("fence", "hooks", "torsocks", "dante", "proxychains", "tsocks"):
        lines.append("| %s | %d |" % (COLUMNS[column], closed(rows, column)))
    return "\n".join(lines) + "\n"


def verdict(row, column):
    return {OPEN: "open", CLOSED: "", MISSING: "–"}[row[column]]


def table(rows):
    """One table for each cause."""
    text = ""
    for cause in dict.fromkeys(row["cause"] for row in rows):
        text += "\n### %s\n\n| way | what it does | user | %s |\n" % (
            cause[0].upper() + cause[1:], " | ".join(COLUMNS[column].split(",")[-1].strip() for column in COLUMNS))
        text += "| --- " * (3 + len(COLUMNS)) + "|\n"
        for row in rows:
            if row["cause"] == cause:
                text += "| `%s` | %s | %s | %s |\n" % (row["name"], row["description"], row["user"],
                                                   " | ".join(verdict(row, column) for column in COLUMNS))
    return text


INTRODUCTION = """# Ways past the proxy

A way is a small program that tries to send one packet by another way than to the proxy. The programs are in
[tests/ways](../tests/ways), one function each. This page is written by `tests/ways/catalogue.py --write` from
[ways.tsv](../tests/ways/ways.tsv); the tests compare it with the table, and the table with what they measure
([test_ways.py](../tests/e2e/test_ways.py)).

A way is run in a network namespace whose default route ends at a packet trap, as an ordinary user and as root, or as root
alone where it needs rights that others do not have (column "user"). `open`: a packet left by another way than to the
proxy, in one of the runs at least. Empty: nothing left. `–`: the machine of the measurement lacks what the way needs, or
the C library has no such function. A way whose column "bare" is not `open` is no way on that machine, and is not
counted.

%(count)d ways are counted: those that are open when they run bare. %(other)d others are listed below, too: %(never)d that
the kernel refuses, which the length of addresses is tested with, and %(missing)d that the machine lacks.

%(summary)s
- **socksify** is the preload object together with the fence, the filter of the kernel. What is open within it is no
  accident of a program: it is work of processes outside of the fence, and the administration of network interfaces.
- **Hooks alone** is the preload object without the fence (`--no-fence`).
- Without a companion (`--no-companion`) one more way is open within the fence, `instruction_connect_110`.
- The other programs are Debian 12's packages, each with one SOCKS server for everything, started by their own commands
  (`torsocks`, Dante's `socksify` with `SOCKS_AUTOADD_LANROUTES=no`, `proxychains4`, `tsocks`). `tests/ways/measure.py`
  repeats these measurements. They were made with Linux 6.18.
- Look-ups are made with `networks: files dns` in nsswitch.conf, the default of the C library.
- Listeners have a rule that leads them to the server (`command = {"bind"}`; for Dante `command: bind`).
- A packet to one of the proxy's ports is not counted, by whatever interface it leaves.
- `thread_race`, `thread_race_unseen` and `thread_changes_address` differ from run to run: they are open if a packet left
  in one of many runs.
- vsock has no interface: the way is open if the hypervisor answered.

## The ways
"""


def page(rows):
    own = ways_of(rows)
    never = sum(row["bare"] == CLOSED for row in rows)
    return INTRODUCTION % {"count": len(own), "other": len(rows) - len(own), "never": never,
                           "missing": len(rows) - len(own) - never, "summary": summary(rows)} + table(rows)


def wrong():
    """What differs between the table and the documents."""
    rows = read()
    found = [row["name"] for row in rows for column in COLUMNS if row[column] not in (OPEN, CLOSED, MISSING)]
    if text_of(PAGE) != page(rows):
        found.append("docs/WAYS.md is not what catalogue.py writes")
    if summary(rows) not in text_of(COMPARISON):
        found.append("docs/COMPARISON.md has other figures")
    return found


def main():
    if "--write" in sys.argv[1:]:
        write(read())
    for what in wrong():
        print(what)
    return bool(wrong())


if __name__ == "__main__":
    sys.exit(main())
