"""The packages, built as a user builds them, from a copy of the working tree that has only the sources."""

import os
import shutil
import subprocess

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BINARY = ("socksify", "socksify-preload", "libsocks5client0", "libsocks5client-dev")
_built = {}


def copy_sources(to):
    """Copies what would be committed: all files that git does not ignore, or without git all but the build folders."""
    listing = subprocess.run(["git", "-c", "safe.directory=*", "-C", TOP, "ls-files", "-co",
                              "--exclude-standard"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True, check=False)
    if listing.returncode == 0:
        for name in listing.stdout.splitlines():
            if os.path.isfile(TOP + "/" + name):
                os.makedirs(os.path.dirname(to + "/" + name), exist_ok=True)
                shutil.copy2(TOP + "/" + name, to + "/" + name)
        return
    shutil.copytree(TOP, to, ignore=lambda folder, names: [
        n for n in names if folder == TOP and (n == ".git" or n.startswith(("build", "obj-")))])


def built(scratch):
    """The folder with the packages, which are built at the first call."""
    if "folder" in _built:
        return _built["folder"]
    folder = scratch + "/packages"
    copy_sources(folder + "/socksify")
    with open(folder + "/log", "w+b") as log:
        status = subprocess.run(["dpkg-buildpackage", "-us", "-uc", "-b"], cwd=folder + "/socksify",
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=900,
                                check=False).returncode
        log.seek(0)
        assert status == 0, log.read().decode(errors="replace")[-4000:]
    _built["folder"] = folder
    return folder


def path(scratch, name):
    folder = built(scratch)
    return folder + "/" + next(f for f in os.listdir(folder) if f.startswith(name + "_")
                               and f.endswith(".deb"))


def install(root, scratch, names=BINARY):
    """Installs the packages NAMES in ROOT with dpkg."""
    root.must("dpkg -i " + " ".join(path(scratch, name) for name in names))
