"""The pytest configuration of the end-to-end tests (e2e, package). They are declared by title (world.test) and run
in a bed of network namespaces (bed.py) with real servers. Each pytest worker makes its own bed for its first test.
A test passes only if its result is right and the trap recorded no packet."""

import os
import resource
import shutil
import sys
import tempfile

import pytest
from xdist.scheduler import LoadScheduling

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, HERE + "/e2e", HERE + "/package"]
import isolated

TITLED = ("e2e", "package", "kernels")  # the folders whose tests have titles


def pytest_addoption(parser):
    group = parser.getgroup("socksify")
    group.addoption("--builds", default=os.path.dirname(HERE), metavar="FOLDER",
                    help="where the folders build, build-sanitize and build-tsan are")
    group.addoption("--variant", action="append", metavar="NAME",
                    help="run only the tests of these variants: plain, asan, inside, tsan")
    group.addoption("--as", action="append", default=[], metavar="VARIANT=VARIANT", dest="instead",
                    help="run the tests of the first variant with the programs of the second")
    group.addoption("--full", action="store_true", help="every combination of programs and servers")
    group.addoption("--client-root", metavar="FOLDER",
                    help="run the programs under test in this root file system")
    group.addoption("--write", action="store_true", help="write docs/MATRIX.md (needs --full)")
    group.addoption("--record", action="store_true", help="write the transcript of README.md")


def pytest_configure(config):
    if isolated.MARK not in os.environ:
        config.pluginmanager.getplugin("capturemanager").stop_global_capturing()
        os._exit(isolated.run([sys.executable, "-m", "pytest", *config.invocation_params.args]))


class Slowest(LoadScheduling):
    """Gives each worker two tests at a time, in the order of the list. The slow tests come first, so that no worker
    has a long queue while another one is idle."""

    def schedule(self):
        if self.collection is None and self._check_nodes_have_same_collection():
            self.collection = list(self.node2collection.values())[0]
            self.pending[:] = range(len(self.collection))
        for node in self.nodes:
            self.check_schedule(node)

    def check_schedule(self, node, duration=0):
        if node.shutting_down or self.collection is None:
            return
        held = len(self.node2pending[node])
        if self.pending and held < 2:
            self._send_tests(node, 2 - held)
        if not self.pending:
            node.shutdown()


def pytest_xdist_make_scheduler(config, log):
    return Slowest(config, log)


# --- the bed of this worker ---


class Made:
    """The bed with all its servers, and the World that the tests receive."""

    def __init__(self, config):
        import bed
        import nameserver
        import servers
        import world
        # The servers in threads of this worker hold thousands of connections.
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
        self.scratch = tempfile.mkdtemp(prefix="socksify-")
        self.trap = bed.make(config.getoption("client_root"), self.scratch)
        self.keep = [servers.targets(self.scratch), nameserver.Nameserver(), servers.socks(self.scratch)]
        builds = config.getoption("builds")
        self.world = world.World({v: os.path.join(builds, b) for v, b in world.BUILDS.items()},
                                 self.scratch)
        self.world.target, self.world.nameserver, self.world.trap = *self.keep[:2], self.trap
        self.world.hostile = servers.scripted()
        self.world.recording = config.getoption("record")

    def close(self):
        import bed
        bed.stop_all()
        shutil.rmtree(self.scratch, ignore_errors=True)


_made = []


def made(config):
    """Makes the bed once. If that fails, the run ends, because no test can run."""
    if not _made:
        try:
            _made.append(Made(config))
        except Exception as e:
            raise pytest.exit.Exception("the bed cannot be made: %r" % e, 3) from e
    return _made[0]


def pytest_sessionfinish():
    while _made:
        _made.pop().close()


# --- tests by title ---


class Caught(Exception):
    """The trap recorded a packet that bypassed the proxy."""


class Titled(pytest.Item):
    """One test with one variant."""

    def __init__(self, name, parent, declared, variant):
        super().__init__(name, parent)
        self.declared, self.variant = declared, variant
        self.extra_keyword_matches.update([variant] + ["slow"] * (declared.slow > 0))

    def runtest(self):
        import bed
        here = made(self.config)
        here.world.use(self.variant)
        bed.as_root(self.declared.root)
        here.world.record = lambda key, value: self.user_properties.append((key, value))
        try:
            self.declared.function(here.world)
        finally:
            caught = here.trap.take()
            if caught:
                raise Caught("THE TRAP CAUGHT " + "; ".join(sorted(set(caught))))

    def reportinfo(self):
        return self.path, None, self.name


class Module(pytest.Module):
    def collect(self):
        import world
        self.obj  # imports it
        instead = dict(pair.split("=") for pair in self.config.getoption("instead"))
        wanted = self.config.getoption("variant")
        for declared in world.TESTS[self.path.stem]:
            if declared.full and not self.config.getoption("full"):
                continue
            if self.config.getoption("client_root") and not declared.in_chroot:
                continue
            # The packages are tested in one variant only, the one that users have.
            variants = declared.variants if self.path.parent.name == "e2e" else (world.PLAIN,)
            for variant in dict.fromkeys(instead.get(v, v) for v in variants):
                if wanted and variant not in wanted:
                    continue
                mark = "" if variant in (world.PLAIN, world.ASAN) else " [%s]" % variant
                yield Titled.from_parent(self, name=declared.title + mark, declared=declared,
                                         variant=variant)


def pytest_pycollect_makemodule(module_path, parent):
    if module_path.parent.name in TITLED:
        return Module.from_parent(parent, path=module_path)
    return None


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: -item.declared.slow if isinstance(item, Titled) else 0)


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("write"):
        import test_matrix
        reports = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
        test_matrix.write({(cell[0], cell[1]): cell[2] for report in reports
                           for key, cell in report.user_properties if key == "cell"})
