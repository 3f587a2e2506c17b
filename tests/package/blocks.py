"""The code blocks in the documentation: fenced blocks in Markdown, each with its language, and blocks in the manuals
between .nf and .fi or .EX and .EE. A block in a manual is ignored if a comment follows .EX ("not run"): its command
does not end by itself."""

import glob
import os
import re

import deb

FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.M | re.S)
MANUAL = re.compile(r"^\.(?:nf|EX)\n(.*?)^\.(?:fi|EE)$", re.M | re.S)
ESCAPES = ((r"\-", "-"), (r"\(dq", '"'), (r"\(aq", "'"), (r"\&", ""), (r"\(ti", "~"),
           (r"\(ha", "^"), (r"\e", "\\"))
# If the first line is a comment with a path, the block is the file with that path.
NAMED = re.compile(r"^(?:#|//|/\*) ([~\w./-]+)(?: \*/)?\n")


class Block:
    def __init__(self, path, line, language, text):
        self.path, self.line, self.language, self.text = path, line, language, text
        named = NAMED.match(text)
        self.file = named and named.group(1) if language != "sh" else None

    def __str__(self):
        return "%s:%d, %s" % (self.path, self.line, self.language or "no language")


def read(path):
    with open(os.path.join(deb.TOP, path), encoding="utf-8") as f:
        return f.read()


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def of_markdown(path):
    text = read(path)
    return [Block(path, line_of(text, m.start()), m.group(1), m.group(2))
            for m in FENCE.finditer(text)]


def unfenced(path):
    """Lines that Markdown shows as code because they are indented, outside of lists and fences."""
    lines = FENCE.sub("", read(path)).split("\n")
    return [line for before, line in zip(lines, lines[1:])
            if not before.strip() and re.match(r" {4}\S", line)]


def plain(text):
    """The text of a manual without font macros and escapes."""
    text = re.sub(r"^\.[BIR]+ (.*)$", lambda m: m.group(1).replace('"', ""), text, flags=re.M)
    text = re.sub(r"\\f(?:[BIRP]|\[\w*\])", "", text)
    for escape, means in ESCAPES:
        text = text.replace(escape, means)
    return text


def language(text):
    if re.search(r'^#include|;$', text, re.M):
        return "c"
    return "conf" if re.match(r"(server|rule|log) ", text) else "sh"


def of_manual(path):
    text = read(path)
    found = [(line_of(text, m.start()), plain(m.group(1))) for m in MANUAL.finditer(text)]
    return [Block(path, line, language(block), block) for line, block in found]


def commands(text):
    """The commands of a console block, each after "$ ", with their output."""
    return [tuple(entry.split("\n", 1)) for entry in re.split(r"^\$ ", text, flags=re.M)[1:]]


def masked(text):
    """The output of a command without what differs between runs: process IDs and times."""
    return re.sub(r"\d+(\.\d+)? ms\b", "N ms", re.sub(r"\[\d+\]", "[N]", text))


def markdown():
    return sorted(os.path.relpath(p, deb.TOP) for p in
                  glob.glob(deb.TOP + "/*.md") + glob.glob(deb.TOP + "/docs/*.md"))


def manuals():
    return sorted(os.path.relpath(p, deb.TOP) for p in glob.glob(deb.TOP + "/docs/*.[1-9]"))
