"""What a test receives: the programs under test, of one of the builds, and functions that run them as a user does.
test() declares a test by its title."""

import collections
import os

import bed
import servers as s

# Variants of the programs under test. PLAIN: the optimised build, as users have it. ASAN: tools and preload object
# with AddressSanitizer and UndefinedBehaviorSanitizer. INSIDE, TSAN: the hooks are linked into the program, with
# these sanitizers or with ThreadSanitizer.
PLAIN, ASAN, INSIDE, TSAN = "plain", "asan", "inside", "tsan"
BUILDS = {PLAIN: "build", ASAN: "build-sanitize", INSIDE: "build-sanitize", TSAN: "build-tsan"}

Test = collections.namedtuple("Test", "title function variants root full slow in_chroot")
TESTS = collections.defaultdict(list)  # by the name of the module


def test(title, on=(ASAN,), root=False, full=False, slow=0, in_chroot=True):
    """Declares a test. ON: the variants it runs with. ROOT: its programs run as root. FULL: it runs only with --full.
    SLOW: its approximate duration in seconds; the slowest tests start first. IN_CHROOT: it can also run in a root file
    system of another release (--client-root)."""
    def add(function):
        TESTS[function.__module__].append(
            Test(title, function, (on,) if isinstance(on, str) else on, root, full, slow, in_chroot))
        return function
    return add


class World:
    """The programs under test, of one variant at a time, and the servers."""

    def __init__(self, builds, scratch):
        self.builds = {variant: os.path.abspath(path) for variant, path in builds.items()}
        self.scratch = scratch
        self.build = self.builds[PLAIN]
        self.base_env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": scratch + "/home"}
        bed.user_folder(scratch + "/home")
        self.use(PLAIN)

    def use(self, variant):
        """Selects the programs of VARIANT."""
        build = self.builds[variant]
        self.variant, self.linked = variant, variant in (INSIDE, TSAN)
        self.kind = "linked_"
        self.checked = set()  # programs checked for leaks in this test
        self.socksify = build + "/tools/socksify"
        self.bridge = build + "/tools/bridge/socks5-bridge"
        self.object = build + "/preload/libsocksify.so"
        if variant == ASAN:  # the sanitizer's runtime must be loaded first
            self.object = ":".join((bed.asan_runtime(), build + "/tests/apps/libasan_first.so", self.object))
        self.timeout_factor = 1 if variant == PLAIN else 3
        self.env = dict(self.base_env)
        if variant != PLAIN:
            self.env.update(
                UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1",
                TSAN_OPTIONS="exitcode=66:suppressions=%s/tsan.supp" % bed.HERE,
                # Programs of other projects do not free all memory before they exit.
                ASAN_OPTIONS="detect_leaks=%d" % (variant != ASAN))

    def app(self, name, covered=True):
        """The path of a program of tests/apps. If it is COVERED and the variant requires it, the hooks are linked in."""
        if self.linked and covered:
            build = self.build if self.kind == "drop_" else self.builds[self.variant]
            return os.path.join(build, "tests", "apps", self.kind + name)
        return os.path.join(self.build, "tests", "apps", "app_" + name)

    def _env(self, env, command):
        """The environment for COMMAND. Leaks of our own programs are checked once per test and program, because the
        check takes longer than the program."""
        if self.variant != ASAN or not command[0].startswith(self.build) or command[0] in self.checked:
            return env
        self.checked.add(command[0])
        return dict(env, ASAN_OPTIONS="detect_leaks=1")

    def via(self, port, command, user="", host=bed.PROXY4, seconds=40, options=()):
        url = "socks5h://%s%s:%d" % (user and user + "@", host, port)
        if self.linked:
            return bed.run(bed.CLIENT, command, dict(self.env, SOCKS5_SERVER=url), 3 * seconds)
        return bed.run(bed.CLIENT, [self.socksify, *options, "-x", url, "--"] + command,
                       self._env(self.env, command), self.timeout_factor * seconds)

    def configured(self, conf, command, env, seconds, options=()):
        if self.linked:
            return bed.run(bed.CLIENT, command, dict(env, SOCKS5_CONF=conf), 3 * seconds)
        return bed.run(bed.CLIENT, [self.socksify, *options, "-c", conf, "--"] + command,
                       self._env(env, command), self.timeout_factor * seconds)

    def preloaded(self, port, command, seconds=40, **env):
        if self.linked:
            return bed.run(bed.CLIENT, command, dict(self.env, **env), 3 * seconds)
        env = dict(self._env(self.env, command), LD_PRELOAD=self.object, **env)
        words = ["%s=%s" % pair for pair in env.items() if pair[0] != "PATH"]
        if port:
            words.append("SOCKS5_SERVER=socks5h://%s:%d" % (bed.PROXY4, port))
        return bed.run(bed.CLIENT, ["/usr/bin/env"] + words + command, self.env,
                       self.timeout_factor * seconds)


def right(result, out):
    assert result[0] == 0 and out in result[1], result


def words(w, command):
    """COMMAND with the scratch directory in place of the word SCRATCH."""
    return [word.replace("SCRATCH", w.scratch) for word in command]


def fine(result):
    status, out, err = result
    assert status == 0, "status %s: %s%s" % (status, out.decode(), err.decode(errors="replace"))


CURL = ["curl", "-sS", "-m", "20"]
PAGE = b"it came through"
AUTH = s.USER + ":" + s.PASSWORD.replace(":", "%3A").replace("@", "%40").replace("/", "%2F")
PYTHON = "/usr/bin/python3"
SSH = ["ssh", "-F", "none", "-q", "-i", "SCRATCH/user_key", "-o", "StrictHostKeyChecking=no", "-o",
       "UserKnownHostsFile=/dev/null"]
URL4, URL6 = "http://%s/" % bed.TARGET4, "http://[%s]/" % bed.TARGET6
