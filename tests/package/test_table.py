"""The table of docs/COMPARISON.md: the proof of each row is an existing test, given by its file and title."""

import importlib
import os
import re

import blocks
import world
from world import test

PAGE = "docs/COMPARISON.md"


def titles(path):
    name = os.path.splitext(os.path.basename(path))[0]
    importlib.import_module(name)
    return [declared.title for declared in world.TESTS[name]]


@test("docs: each row of the table in docs/COMPARISON.md names an existing test")
def _(_w):
    text = blocks.read(PAGE)
    table = text[text.index("| what | others | proof |"):text.index("## Ways past the proxy")]
    rows = [line for line in table.splitlines()[2:] if line.startswith("|")]
    assert len(rows) >= 10, rows
    known = {}
    for row in rows:
        proof = re.search(r"\| `([\w./]+)`: (.*) \|$", row)
        assert proof, "no proof: " + row
        path, title = proof.groups()
        if path not in known:
            known[path] = titles(path)
        assert title in known[path], "%s has no test \"%s\"" % (path, title)
