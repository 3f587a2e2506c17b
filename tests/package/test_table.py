"""README's table: each row's proof is a test that there is, by its file and title."""

import os
import re
import subprocess
import sys

import blocks
import deb
from run import test

LIST = """
import importlib.util, os, sys
sys.path[:0] = [os.path.dirname(sys.argv[1])]
import run
path = os.path.abspath(sys.argv[1])
run.TESTS[:] = run.TESTS if os.path.basename(path) == "run.py" else []
if run.TESTS == []:
    sys.modules["run"] = run
    importlib.import_module(os.path.basename(path)[:-3])
print("\\n".join(title for title, _, _ in run.TESTS))
"""


def titles(path):
    done = subprocess.run([sys.executable, "-c", LIST, os.path.join(deb.TOP, path)], check=True,
                          stdout=subprocess.PIPE, text=True, timeout=60)
    return done.stdout.splitlines()


@test("docs: each row of README's table names a test that there is")
def _(_w):
    text = blocks.read("README.md")
    table = text[text.index("| what | others | proof |"):text.index("## Quick start")]
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
