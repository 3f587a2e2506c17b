#!/usr/bin/python3
"""Sums up JUnit files: results.py FILE... prints "PASSED FAILED". A test that did not run counts as failed."""

import sys
import xml.etree.ElementTree as ElementTree

passed = failed = 0
for path in sys.argv[1:]:
    for case in ElementTree.parse(path).iter("testcase"):
        wrong = any(case.find(word) is not None for word in ("failure", "error", "skipped"))
        passed, failed = passed + (not wrong), failed + wrong
print(passed, failed)
