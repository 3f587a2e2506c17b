#!/usr/bin/python3
"""Sums JUnit files: results.py FILE... prints "PASSED FAILED". What did not run counts as failed."""

import sys
import xml.etree.ElementTree as tree

passed = failed = 0
for path in sys.argv[1:]:
    for case in tree.parse(path).iter("testcase"):
        wrong = any(case.find(word) is not None for word in ("failure", "error", "skipped"))
        passed, failed = passed + (not wrong), failed + wrong
print(passed, failed)
