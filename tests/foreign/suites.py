"""Test suites of other projects: how to get them, and how to run their tests and read the results."""

import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "..", "peer")
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "socksify-tests")
SILENCE = 120  # seconds without output from a suite after which its test counts as hanging
ONE = 90       # time limit in seconds for a test that is a separate program


def source(name):
    return subprocess.run([PEER + "/source.sh", name], check=True, stdout=subprocess.PIPE, text=True,
                          timeout=600).stdout.strip()


def built(name, target, options):
    """The folder with the program TARGET of the Debian source package NAME, which is built once and kept."""
    folder = "%s/%s-tests" % (CACHE, name)
    if not os.path.exists("%s/%s" % (folder, target)):
        for command in (["cmake", "-S", source(name), "-B", folder, "-G", "Ninja", *options],
                        ["ninja", "-C", folder, os.path.basename(target)]):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=1200, check=False)
            if done.returncode:
                raise RuntimeError("%s: %s" % (" ".join(command), done.stdout[-4000:]))
    return folder


class Suite:
    """A test suite. The parameter RUN of its methods is a function: RUN(command) starts a command where the suite runs
    and returns a Popen object, in its own process group. results() returns {test: "passed", "failed", "skipped",
    "hangs" or "dies"}."""

    name = ""
    folder = None  # the path of the folder of prepare() as the suite sees it

    def prepare(self):
        """Fetches and builds what is needed. Returns a folder or None."""

    def results(self, run, scratch):
        raise NotImplementedError


def end(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


class Reporting(Suite):
    """One process runs all tests and reports each. If it hangs or dies, another process continues after that
    test."""

    def command(self, scratch, report, skip):
        """The command that runs the suite without the tests SKIP."""
        raise NotImplementedError

    def event(self, line):
        """The event of a LINE of the report: ("begin", test), ("end", test, result), ("all",), or None."""
        raise NotImplementedError

    def results(self, run, scratch):
        found = {}
        for attempt in range(40):
            report = "%s/%s.%d" % (scratch, self.name, attempt)
            open(report, "w", encoding="utf-8").close()
            os.chmod(report, 0o666)
            process = run(self.command(scratch, report, sorted(found)))
            size, since, alive = -1, time.monotonic(), True
            while alive and time.monotonic() - since < SILENCE:
                time.sleep(0.1)
                alive = process.poll() is None
                now = os.stat(report).st_size
                if now != size:
                    size, since = now, time.monotonic()
            end(process)
            current, over = None, False
            with open(report, encoding="utf-8", errors="replace") as f:
                for word in filter(None, map(self.event, f)):
                    if word[0] == "begin":
                        current = word[1]
                    elif word[0] == "end":
                        found[word[1]], current = word[2], None
                    else:
                        over = True
            if over:
                return found
            if current is None:
                raise RuntimeError("%s: ended, or hangs, between two tests (status %s)" % (self.name, process.returncode))
            found[current] = "dies" if not alive else "hangs"
        raise RuntimeError(self.name + ": too many tests hang or die")


class Python(Reporting):
    name = "python"
    modules = ["test.test_socket", "test.test_epoll", "test.test_asyncio.test_events",
               "test.test_asyncio.test_sock_lowlevel", "test.test_asyncio.test_streams"]

    def command(self, scratch, report, skip):
        with open(report + ".skip", "w", encoding="utf-8") as f:
            f.write("\n".join(skip))
        return ["/usr/bin/python3", HERE + "/python_suite.py", report, report + ".skip", *self.modules]

    def event(self, line):
        words = line.split()
        return tuple(words) if words else None


class Tcl(Reporting):
    """The test library must be started in the folder of the tests."""
    name = "tcl"
    files = ["socket.test", "http.test", "chanio.test"]

    def prepare(self):
        return source("tcl8.6")

    def command(self, scratch, report, skip):
        return ["/usr/bin/tclsh", HERE + "/tcl_suite.tcl", self.folder + "/tests", report, scratch,
                " ".join(skip), *self.files]

    def event(self, line):
        for pattern, word in ((r"---- (\S+) start", "begin"), (r"\+\+\+\+ (\S+) PASSED", "passed"),
                              (r"==== (\S+) FAILED", "failed"), (r"\+\+\+\+ (\S+) SKIPPED", "skipped"),
                              (r"(all) over", "all")):
            found = re.match(pattern, line)
            if found and word in ("begin", "all"):
                return (word, found.group(1))
            if found:
                return ("end", found.group(1), word)
        return None


class EachAlone(Suite):
    """Each test is run by a process of its own."""

    def tests(self, run):
        raise NotImplementedError

    def one(self, test):
        """The command for TEST."""
        raise NotImplementedError

    def result_of(self, status, out):
        return "passed" if status == 0 else "failed"

    def results(self, run, scratch):
        found = {}
        for test in self.tests(run):
            process = run(self.one(test), stdout=subprocess.PIPE)
            try:
                out = process.communicate(timeout=ONE)[0]
                found[test] = self.result_of(process.returncode, out.decode(errors="replace"))
            except subprocess.TimeoutExpired:
                found[test] = "hangs"
            end(process)
        return found


class Libuv(EachAlone):
    name = "libuv"
    others = re.compile(r"(fs_|thread|timer|idna|utf|hrtime|cwd|homedir|tmpdir|random|queue_foreach|mutex|"
                        r"sem|cond|rwlock|barrier|strscpy|strtok|platform|process_title|gettimeofday|"
                        r"metrics|get_|env_|dlerror|tty|hmac|threadpool|fail_always|pass_always)")

    def prepare(self):
        return built("libuv1", "uv_run_tests", ["-DLIBUV_BUILD_TESTS=ON", "-DLIBUV_BUILD_BENCH=OFF"])

    def tests(self, run):
        out = run([self.folder + "/uv_run_tests", "--list"], stdout=subprocess.PIPE).communicate(timeout=60)[0].decode()
        return [name for name in out.split() if not self.others.match(name)]

    def one(self, test):
        return [self.folder + "/uv_run_tests", test]

    def result_of(self, status, out):
        return "skipped" if "# SKIP" in out else "passed" if status == 0 and "not ok" not in out else "failed"


class Libevent(EachAlone):
    name = "libevent"
    groups = ("main/", "util/", "bufferevent/", "http/", "dns/", "listener/", "rpc/", "evutil/", "et/")

    def prepare(self):
        return built("libevent", "bin/regress",
                     ["-DEVENT__LIBRARY_TYPE=STATIC", "-DEVENT__DISABLE_OPENSSL=ON",
                      "-DEVENT__DISABLE_BENCHMARK=ON", "-DEVENT__DISABLE_SAMPLES=ON"])

    def tests(self, run):
        out = run([self.folder + "/bin/regress", "--list-tests"], stdout=subprocess.PIPE).communicate(timeout=60)[0].decode()
        return [name for name in out.split() if name.startswith(self.groups)]

    def one(self, test):
        return [self.folder + "/bin/regress", test]

    def result_of(self, status, out):
        return "skipped" if "SKIPPED" in out else "passed" if status == 0 else "failed"


ALL = [Python(), Libuv(), Libevent(), Tcl()]
