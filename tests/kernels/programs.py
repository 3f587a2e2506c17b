#!/usr/bin/python3
"""Builds the programs of other projects and languages that the end-to-end tests use, in the root file system of the
guest (see boot.py), which has no network."""

import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "e2e")]
import uncovered  # noqa: E402

subprocess.run([HERE + "/../peer/dante.sh"], check=True)
with tempfile.TemporaryDirectory() as folder:
    uncovered.build(folder)
