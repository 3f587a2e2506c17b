"""Runs modules of CPython's test suite: python_suite.py REPORT SKIP MODULE...

A line is appended to the file REPORT when a test begins ("begin ID") and when it ends ("end ID RESULT"). The file
SKIP has IDs of tests to skip, one per line. REPORT is opened for each line, because tests close descriptors."""

import sys
import unittest

import test.support

report, skip, modules = sys.argv[1], sys.argv[2], sys.argv[3:]
del sys.argv[1:]
test.support.use_resources = []  # no network
with open(skip, encoding="utf-8") as f:
    skipped = set(f.read().split("\n"))


def report_line(*words):
    with open(report, "a", encoding="utf-8") as f:
        print(*words, file=f)


class Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.result = None

    def startTest(self, test):
        super().startTest(test)
        self.result = "passed"
        report_line("begin", test.id())

    def stopTest(self, test):
        super().stopTest(test)
        report_line("end", test.id(), self.result)

    def _worse(self, result, test, error):
        self.result = result
        print(result.upper(), test.id(), self._exc_info_to_string(error, test), flush=True)

    def addError(self, test, err):
        if not isinstance(test, unittest.TestCase):  # the setup of a module or class
            report_line("end", test.id(), "failed")
        self._worse("failed", test, err)

    def addFailure(self, test, err):
        self._worse("failed", test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._worse("failed", test, err)

    def addSkip(self, test, reason):
        self.result = "skipped"

    def addExpectedFailure(self, test, err):
        self.result = "passed"

    def addUnexpectedSuccess(self, test):
        self.result = "failed"


def wanted(suite):
    """SUITE without the skipped tests. Tests stay grouped by class."""
    return suite.__class__(wanted(one) if isinstance(one, unittest.TestSuite) else one for one in suite
                           if isinstance(one, unittest.TestSuite) or one.id() not in skipped)


for module in modules:
    wanted(unittest.defaultTestLoader.loadTestsFromName(module)).run(Result())
report_line("all")
