"""Runs modules of CPython's own tests: python_suite.py REPORT SKIP MODULE...

A line is appended to the file REPORT when a test begins ("begin ID") and when it ends ("end ID OUTCOME"). The
IDs in the file SKIP, a line each, are left out. The file is opened for each line: tests close descriptors."""

import sys
import unittest

import test.support

report, skip, modules = sys.argv[1], sys.argv[2], sys.argv[3:]
del sys.argv[1:]
test.support.use_resources = []  # none of the network's
with open(skip, encoding="utf-8") as f:
    left_out = set(f.read().split("\n"))


def say(*words):
    with open(report, "a", encoding="utf-8") as f:
        print(*words, file=f)


class Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.outcome = None

    def startTest(self, test):
        super().startTest(test)
        self.outcome = "passed"
        say("begin", test.id())

    def stopTest(self, test):
        super().stopTest(test)
        say("end", test.id(), self.outcome)

    def _worse(self, outcome, test, error):
        self.outcome = outcome
        print(outcome.upper(), test.id(), self._exc_info_to_string(error, test), flush=True)

    def addError(self, test, err):
        if not isinstance(test, unittest.TestCase):  # the set-up of a module or class
            say("end", test.id(), "failed")
        self._worse("failed", test, err)

    def addFailure(self, test, err):
        self._worse("failed", test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._worse("failed", test, err)

    def addSkip(self, test, reason):
        self.outcome = "skipped"

    def addExpectedFailure(self, test, err):
        self.outcome = "passed"

    def addUnexpectedSuccess(self, test):
        self.outcome = "failed"


def wanted(suite):
    """SUITE without what is left out, its grouping by class kept."""
    return suite.__class__(wanted(one) if isinstance(one, unittest.TestSuite) else one for one in suite
                           if isinstance(one, unittest.TestSuite) or one.id() not in left_out)


for module in modules:
    wanted(unittest.defaultTestLoader.loadTestsFromName(module)).run(Result())
say("all")
