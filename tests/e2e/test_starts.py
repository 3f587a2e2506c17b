"""Starting programs: the file that is judged is the file that runs, a program that cannot load the preload object
where it runs is refused where no namespace can run it, and everything else is as without socksify."""

import contextlib
import os
import shutil
import subprocess

import bed
import servers as s
from world import PLAIN, right, test

HINT = b"the preload object"


def start(w, *words, **env):
    """The command that starts a program by tests/apps/start_program.c: a way, a directory, a file, arguments."""
    return ["env"] + ["%s=%s" % pair for pair in env.items()] + [w.app("start_program")] + list(words)


def probe(*before):
    return list(before) + [bed.TARGET4, str(s.ECHO)]


def refused(result, hint):
    status, out, err = result
    assert b"ok" not in out and hint in err, (status, out, err)
    assert status != 0 or b"error 13" in out, (status, out, err)


PRELOAD = ("--engine=preload",)


def uncovered(w, command, hint):
    """The preload engine refuses COMMAND, and a namespace runs it."""
    refused(w.via(s.DANTED, command, options=PRELOAD), hint)
    result = w.via(s.DANTED, command)
    assert result == (0, b"ok\n", b""), result


def folders(w, name, **files):
    """Makes folders in a new folder NAME. FILES: the content of the file "tool" in each of them. A content is text, the
    path of a file to copy, or None for a directory; with the mode 0644 where the name ends with "_data"."""
    top = "%s/%s" % (w.scratch, name)
    shutil.rmtree(top, ignore_errors=True)
    for folder, content in files.items():
        path = "%s/%s/tool" % (top, folder)
        os.makedirs(os.path.dirname(path))
        if content is None:
            os.mkdir(path)
        elif content.startswith("/"):
            shutil.copy(content, path)
        else:
            s.write(path, content)
        os.chmod(path, 0o644 if folder.endswith("_data") else 0o755)
    return top


SHELL = "#!/bin/sh\necho $0 $*\n"


def search_files(w):
    top = folders(w, "search", good=SHELL, x_data=SHELL, folder=None, gone="#!/nowhere/at/all\n", text="echo as text $*\n",
                  static=w.app("static"), static_data=w.app("static"), probe=w.app("probe"), odd=w.app("probe"),
                  empty="")
    with open(top + "/odd/tool", "rb+") as f:
        content = f.read()
        f.seek(0)
        f.write(content.replace(b"/ld-linux", b"/no-linux"))
    return top


@test("a search in PATH has the same results with and without socksify", on=PLAIN)
def _(w):
    top = search_files(w)
    rows = [["x_data", "good"], ["folder", "good"], ["gone", "good"], ["odd", "good"], ["text", "good"],
            ["empty", "good"], ["x_data"], ["x_data", "none", "good/tool"], ["none", "good/tool"], ["good/tool", "none"],
            ["none"], ["gone"], ["odd"], ["text"], ["x" * 300, "good"], ["y" * 4090, "good"]]
    for way in ("execvp", "execvpe", "execlp", "spawnp"):
        for row in rows:
            path = ":".join("%s/%s" % (top, folder) for folder in row)
            command = start(w, way, "-", "tool", "a", "b", PATH=path)
            command[0] = "/usr/bin/env"
            bare = bed.run(bed.PROXY, command, w.env)
            covered = w.via(s.DANTED, command)
            assert covered == bare, (way, row, covered, bare)
        for name in ("", "n" * 256, "n" * 5000, top + "/text/tool", top + "/good", top + "/good/tool/x", "/bin/echo"):
            command = start(w, way, "-", name, "a")
            bare = bed.run(bed.PROXY, command, w.env)
            covered = w.via(s.DANTED, command)
            assert covered == bare, (way, name, covered, bare)


@test("a program that is being written, too many arguments, no memory left: exec is as without socksify", on=PLAIN)
def _(w):
    top = folders(w, "busy", bin=w.app("probe"))
    with open(top + "/bin/tool", "rb+"):
        for way in ("execvp", "spawnp", "spawn", "execveat"):
            result = w.via(s.DANTED, start(w, way, top + "/bin", "tool" if way != "spawn" else top + "/bin/tool",
                                           PATH=top + "/bin:/usr/bin:/bin"))
            assert result[:2] == (99, b"error 26\n"), (way, result)
    code = """
import errno, os
for exec in (lambda v: os.execve('/bin/true', v, {}), lambda v: os.execvpe('true', v, {'PATH': '/bin'}),
             lambda v: os.posix_spawnp('true', v, {})):
    try: exec(['true'] + ['x' * 100000] * 100)
    except OSError as e: print(e.errno)
"""
    assert w.via(s.DANTED, ["python3", "-c", code]) == (0, b"7\n7\n7\n", b"")
    code = """
import mmap, os, resource
kept = mmap.mmap(-1, 1 << 29)
resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))
os.execvp('echo', ['echo', 'started'])
"""
    assert w.via(s.DANTED, ["python3", "-c", code]) == (0, b"started\n", b"")


@test("a search in PATH judges the file that runs", on=PLAIN)
def _(w):
    top = search_files(w)
    for way in ("execvp", "execvpe", "execlp", "spawnp"):
        for row, covered in ((["static_data", "probe"], True), (["folder", "probe"], True), (["odd", "probe"], True),
                             (["gone", "probe"], True), (["x_data", "static"], False), (["odd", "static"], False),
                             (["gone", "static"], False), (["static", "probe"], False)):
            path = ":".join("%s/%s" % (top, folder) for folder in row) + ":/usr/bin:/bin"
            command = start(w, way, "-", *probe("tool"), PATH=path)
            if covered:
                right(w.via(s.DANTED, command), b"ok\n")
            else:
                uncovered(w, command, b"statically linked")


@test("posix_spawn() with a change of directory judges the file in that directory", on=PLAIN)
def _(w):
    top = folders(w, "moved", good=w.app("probe"), bad=w.app("static"))
    for way in ("spawn_chdir", "spawn_fchdir", "spawn_fchdir_opened"):
        right(w.via(s.DANTED, start(w, way, top + "/good", *probe("./tool"))), b"ok\n")
        uncovered(w, start(w, way, top + "/bad", *probe("./tool")), b"statically linked")
        way = way.replace("spawn", "spawnp")
        for path in (".", "../bad:/bin", ""):
            uncovered(w, start(w, way, top + "/bad", *probe("tool"), PATH="%s:/bin:/usr/bin" % path),
                      b"statically linked")
        right(w.via(s.DANTED, start(w, way, top + "/bad", *probe("tool"), PATH="../good:/bin:/usr/bin")), b"ok\n")
    result = w.via(s.DANTED, start(w, "spawn_chdir", top + "/none", *probe("./tool")))
    assert result == (99, b"error 2\n", b""), result
    os.chmod(s.write(top + "/script", "#!./tool\n"), 0o755)
    refused(w.via(s.DANTED, start(w, "spawn_chdir", top + "/bad", top + "/script"), options=PRELOAD),
            b"statically linked")
    result = w.via(s.DANTED, start(w, "spawn_chdir", top, top + "/script"))
    assert result == (99, b"error 2\n", b""), result


@test("execveat() and fexecve() judge the file that runs", on=PLAIN)
def _(w):
    top = folders(w, "beneath", good=w.app("probe"), bad=w.app("static"), script="#!%s/beneath/bad/tool\n" % w.scratch)
    for way in ("execveat", "execveat_long", "empty", "empty_opath", "fexecve", "fexecve_opath"):
        right(w.via(s.DANTED, start(w, way, top + "/good", *probe("tool"))), b"ok\n")
        for folder in ("bad", "script"):
            command = start(w, way, top + "/" + folder, *probe("tool"))
            if folder == "script":  # its interpreter takes the name of the script for an address
                refused(w.via(s.DANTED, command, options=PRELOAD), b"statically linked")
            else:
                uncovered(w, command, b"statically linked")


@test("shells that the C library starts are covered after clearenv()", on=PLAIN)
def _(w):
    line = " ".join(probe(w.app("probe")))
    for way in ("system", "popen", "_IO_popen", "wordexp"):
        right(w.via(s.DANTED, start(w, way, "-", line)), b"ok\n")


# --- where the object cannot be opened ---

@contextlib.contextmanager
def another_root(w, mounts):
    """A root directory with the system's programs, and MOUNTS: folders that have the same path in it."""
    root = w.scratch + "/another-root"
    os.makedirs(root, exist_ok=True)
    for name in ("bin", "lib", "lib64", "lib32", "libx32", "sbin"):
        if os.path.islink("/" + name) and not os.path.lexists(root + "/" + name):
            os.symlink(os.readlink("/" + name), root + "/" + name)
    shutil.copy(w.app("probe"), root + "/probe")
    done = []
    try:
        for path in ["/usr"] + mounts:
            os.makedirs(root + path, exist_ok=True)
            subprocess.run(["mount", "--bind", path, root + path], check=True, timeout=20)
            done.append(root + path)
        yield root
    finally:
        for path in reversed(done):
            subprocess.run(["umount", path], check=True, timeout=20)


@test("a program in another root is refused where the preload object is not in it", on=PLAIN, root=True,
      in_chroot=False)
def _(w):
    where = os.path.dirname(w.object)
    for mounts, covered in (([], False), ([where], True)):
        with another_root(w, mounts) as root:
            for command in (["chroot", root] + probe("/probe"),
                            ["chroot", root, "/bin/sh", "-c", " ".join(probe("exec /probe"))],
                            start(w, "vfork_chroot", root, *probe("/probe"))):
                for launch in (w.via, w.preloaded):
                    result = launch(s.DANTED, command)
                    if covered:
                        right(result, b"ok\n")
                    else:
                        refused(result, HINT)


@test("shells that the C library starts are refused in another root without the preload object", on=PLAIN,
      root=True, in_chroot=False)
def _(w):
    code = ("import os, subprocess, sys; os.chroot(sys.argv[1]); os.chdir('/'); "
            "print(os.waitstatus_to_exitcode(os.system(sys.argv[2])), flush=True)")
    with another_root(w, []) as root:
        result = w.via(s.DANTED, ["python3", "-c", code, root, " ".join(probe("/probe"))])
        assert result[:2] == (0, b"127\n") and HINT in result[2], result


@test("a program in a sandbox of bwrap is refused where the preload object is not in it", on=PLAIN)
def _(w):
    for root in (False, True):
        sandbox = ["bwrap", "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev",
                   "--ro-bind", w.app("probe"), "/probe"]
        for name in ("bin", "lib", "lib64"):
            if os.path.islink("/" + name):
                sandbox += ["--symlink", os.readlink("/" + name), "/" + name]
        if bed.run(bed.CLIENT, sandbox + ["/bin/true"], w.env, root=root)[0] != 0:
            continue  # this kernel allows it to root only
        launch = [w.socksify, "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED), "--"]
        refused(bed.run(bed.CLIENT, launch + sandbox + probe("/probe"), w.env, root=root), HINT)
        sandbox += ["--ro-bind", os.path.dirname(w.object), os.path.dirname(w.object)]
        right(bed.run(bed.CLIENT, launch + sandbox + probe("/probe"), w.env, root=root), b"ok\n")


@test("a program in another mount namespace is uncovered where the preload object is hidden", on=PLAIN, root=True)
def _(w):
    line = "mount -t tmpfs none %s && exec %s" % (os.path.dirname(w.object), " ".join(probe(w.app("probe"))))
    uncovered(w, ["unshare", "-m", "sh", "-c", line], HINT)


@contextlib.contextmanager
def copied_object(w):
    """A copy of the preload object in a folder that only root can read."""
    folder = w.scratch + "/closed"
    os.makedirs(folder)
    try:
        os.chmod(folder, 0o700)
        yield shutil.copy(w.object, folder)
    finally:
        shutil.rmtree(folder)


def with_copy(w, path, command):
    words = ["/usr/bin/env", "LD_PRELOAD=" + path, "SOCKS5_SERVER=socks5h://%s:%d" % (bed.PROXY4, s.DANTED)]
    return bed.run(bed.CLIENT, words + command, w.env)


@test("a program of another user is refused where that user cannot read the preload object", on=PLAIN, root=True,
      in_chroot=False)
def _(w):
    run = probe(w.app("probe"))
    with copied_object(w) as path:
        for command in (["su", "-s", "/bin/sh", bed.USER, "-c", " ".join(run)], bed.as_user() + run):
            refused(with_copy(w, path, command), HINT)
            os.chmod(os.path.dirname(path), 0o755)
            right(with_copy(w, path, command), b"ok\n")
            os.chmod(os.path.dirname(path), 0o700)


@test("programs are refused after the preload object was deleted or damaged, not after it was replaced", on=PLAIN,
      root=True)
def _(w):
    run = " ".join(probe(w.app("probe")))
    for change, covered in (("rm %s", False), ("rm %s; echo > %s", False), ("rm %s; mkdir %s", False),
                            ("cp %s new; mv new %s", True), ("mount --bind /dev/null %s", False)):
        with copied_object(w) as path:
            line = "cd %s && %s; %s" % (os.path.dirname(path), change.replace("%s", path), run)
            result = with_copy(w, path, ["unshare", "-m", "sh", "-c", line])
            if covered:
                right(result, b"ok\n")
            else:
                refused(result, HINT)


@test("a folder that forbids to execute files keeps programs from loading the preload object", on=PLAIN, root=True)
def _(w):
    with copied_object(w) as path:
        folder = os.path.dirname(path)
        line = "mount --bind %s %s && mount -o remount,bind,noexec %s && exec %s" % (
            folder, folder, folder, " ".join(probe(w.app("probe"))))
        refused(with_copy(w, path, ["unshare", "-m", "sh", "-c", line]), HINT)


@test("posix_spawn() with POSIX_SPAWN_RESETIDS judges the program for the real user", on=PLAIN, root=True)
def _(w):
    code = """
import os, sys
os.setresuid(0, int(sys.argv[1]), 0)
try:
    child = os.posix_spawn(sys.argv[3], sys.argv[3:], os.environ, resetids=bool(int(sys.argv[2])))
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
except OSError as e:
    sys.exit(e.strerror)
"""
    for reset in (0, 1):
        command = ["python3", "-c", code, str(bed.user().pw_uid), str(reset)] + probe(w.app("probe"))
        result = w.via(s.DANTED, command)
        if reset:
            right(result, b"ok\n")
        else:
            refused(result, b"runs as user")
