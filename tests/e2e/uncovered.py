"""Builds the programs that a preload object cannot cover (tests/reach/programs): static programs, with glibc, musl or
no libc at all, and programs in Go and Rust or with io_uring. A missing compiler is an error.

The programs of each language are kept in ${XDG_CACHE_HOME:-~/.cache}/socksify-tests/uncovered-HASH. HASH is that of the
sources and of the versions of the packages. An ordinary user may not be able to enter that folder, nor does a root file
system of another release have it: tests use copies in their scratch folder."""

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import types

from isolated import CACHE

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reach", "programs")
CRATES = ("source.crates-io.replace-with='debian'", "source.debian.directory='/usr/share/cargo/registry'")


def _output(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError("%s: %s" % (" ".join(command), done.stdout))
    return done.stdout


def _build_c(sources, to, env):
    for compiler, program, source, *flags in (
            ("gcc", "probe_dynamic", "probe.c"), ("gcc", "probe_static", "probe.c", "-static"),
            ("musl-gcc", "probe_musl_dynamic", "probe.c"), ("musl-gcc", "probe_musl", "probe.c", "-static"),
            ("gcc", "bare", "bare.c", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector"),
            ("gcc", "uring", "uring.c", "-luring"), ("gcc", "uring_static", "uring.c", "-static", "-luring")):
        _output("/usr/bin/" + compiler, "-O2", "-s", "-D_GNU_SOURCE", "-o", "%s/%s" % (to, program), source, *flags,
                cwd=sources, env=env)


def _build_go(sources, to, env):
    env = dict(env, GO111MODULE="off", GOTOOLCHAIN="local", GOPATH=env["HOME"] + "/go")
    for program, cgo, *flags in (("go_static", "0"), ("go_cgo", "1", "-tags", "netcgo")):
        _output("/usr/bin/go", "build", "-ldflags=-s -w", *flags, "-o", "%s/%s" % (to, program), "probe.go",
                cwd=sources, env=dict(env, CGO_ENABLED=cgo))


def _build_rust(sources, to, env):
    version = _output("/usr/bin/rustc", "-vV", env=env)
    machine = version.split("host: ")[1].split()[0]
    # The programs that cargo runs during the build are not static, because the target is named.
    words = ["--config=" + setting for setting in CRATES]
    _output("/usr/bin/cargo", "build", *words, "--offline", "--target", machine, cwd=sources + "/rust",
            env=dict(env, RUSTC="/usr/bin/rustc", RUSTFLAGS="-Ctarget-feature=+crt-static"))
    shutil.copy("%s/rust/target/%s/debug/probe" % (sources, machine), to + "/rust")


# By language: the packages of Debian that it needs, its sources, and the function that builds them.
LANGUAGES = {
    "c": (("gcc", "libc6-dev", "liburing-dev", "musl-dev", "musl-tools"),
          ("bare.c", "errno_names.h", "probe.c", "uring.c"), _build_c),
    "go": (("gcc", "golang-go", "libc6-dev"), ("probe.go",), _build_go),
    "rust": (("cargo", "gcc", "libc6-dev", "librust-tokio-dev", "rustc"), ("rust/Cargo.toml", "rust/probe.rs"),
             _build_rust),
}
PACKAGES = sorted({package for packages, *_ in LANGUAGES.values() for package in packages})


def _make(folder, build_language):
    """Builds in a temporary folder, so that FOLDER is complete as soon as it exists."""
    work = tempfile.mkdtemp(prefix="build.", dir=CACHE)
    try:
        shutil.copytree(SOURCES, work + "/sources")
        os.mkdir(work + "/programs")
        build_language(work + "/sources", work + "/programs", {"PATH": "/usr/bin:/bin", "HOME": work})
        os.rename(work + "/programs", folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _cached(packages, sources, build_language):
    """The folder with the programs of a language."""
    key = hashlib.sha256(_output("dpkg-query", "-W", *packages).encode())
    for path in [__file__] + [os.path.join(SOURCES, source) for source in sources]:
        with open(path, "rb") as f:
            key.update(f.read())
    folder = "%s/uncovered-%s" % (CACHE, key.hexdigest()[:16])
    os.makedirs(CACHE, exist_ok=True)
    with open(CACHE + "/lock-uncovered", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be building it
        if not os.path.isdir(folder):
            _make(folder, build_language)
    return folder


@functools.lru_cache(None)
def build(folder):
    """Builds what is not built yet. Returns the paths of the copies in FOLDER by name: probe_dynamic, probe_static,
    probe_musl_dynamic, probe_musl, bare, uring, uring_static, go_static, go_cgo, rust."""
    copies = os.path.join(folder, "uncovered")
    for language in LANGUAGES.values():
        shutil.copytree(_cached(*language), copies, dirs_exist_ok=True)
    programs = {name: os.path.join(copies, name) for name in os.listdir(copies)}
    for path in (copies, *programs.values()):
        os.chmod(path, 0o755)
    return types.SimpleNamespace(**programs)
