"""The quick start of README.md: by root, by an ordinary user, and with obstacles."""

import readme

PROOF = "curl's connection went through the SOCKS5 server."
(COMMAND,) = readme.commands("Quick start")
# A chroot without the right to make network namespaces: the kernel permits no user namespaces in a chroot, and
# other namespaces require CAP_SYS_ADMIN.
CONFINED = ("mkdir -p /confined && mount --rbind / /confined && "
            "setpriv --bounding-set -sys_admin chroot /confined sh -c 'cd \"$0\" && exec %s' \"$PWD\"")


def leave_out_a_package(here):
    """If a package is missing in the list of tests/quickstart, the build fails and names it. The sources are mounted
    read-only, and there is no home directory."""
    top = "/srv/incomplete"
    here.must("cp -r /root/socksify incomplete && mount --bind incomplete incomplete && "
              "sed -i 's/ libkrb5-dev / /' incomplete/tests/quickstart && "
              "! grep -q libkrb5-dev incomplete/tests/quickstart && "
              "mount -o remount,bind,ro incomplete", cwd="/srv")
    status, out = here.types("unset HOME XDG_CACHE_HOME\n" + COMMAND, top)
    assert top + " is not writable: building in /tmp/" in out, out
    assert status != 0 and PROOF not in out, out
    assert "krb5-gssapi" in out and "install libkrb5-dev" in out, out


def test_by_root(machine, repository):
    """With a package left out of its list the quick start fails. Unchanged, it installs, builds and shows the
    connection; also without network namespaces, and then without apt, where it names what is missing."""
    here = machine()
    here.put(repository, "/root/socksify")
    leave_out_a_package(here)
    out = here.follows(COMMAND, "/root/socksify")
    for said in ("installing 1 package(s) ", "building, about a minute", "socksify -x socks5h://10.88.2.2",
                 PROOF):
        assert said in out, (said, out)
    here.must("! test -e /usr/sbin/policy-rc.d")
    out = here.follows(CONFINED % COMMAND.strip(), "/root/socksify")
    assert "network namespaces are not permitted here" in out and PROOF in out, out
    assert "installing " not in out, out

    here.must("mv /usr/bin/apt-get /usr/bin/apt-get.not")
    assert PROOF in here.follows(COMMAND, "/root/socksify")
    here.must("mv /usr/bin/microsocks /usr/bin/microsocks.not")
    status, out = here.types(COMMAND, "/root/socksify")
    assert status != 0 and "this is not Debian" in out and out.split()[-1] == "microsocks", out


def test_by_a_user_in_a_checkout_of_root(machine, repository):
    """In a path with spaces, with sudo. Nothing is written to the checkout, and root writes nothing to the user's home."""
    here = machine("sudo")
    here.add_user("anna", sudo=True)
    top = "/srv/the sources/socksify"
    here.put(repository, top)
    before = here.must("find . | sort", cwd=top)
    out = here.follows(COMMAND, top, "anna")
    assert "not writable: building in /home/anna/.cache/socksify/" in out and PROOF in out, out
    assert here.must("find . | sort", cwd=top) == before
    assert not here.must("find /home/anna ! -user anna")


def test_without_privilege(machine, repository):
    """A user who cannot install gets one line with the packages to ask for: without sudo, and without the right to it."""
    for packages in ((), ("sudo",)):
        here = machine(*packages)
        here.add_user("anna", sudo=False)
        here.put(repository, "/home/anna/socksify", "anna")
        status, out = here.types(COMMAND, "/home/anna/socksify", "anna")
        last = out.splitlines()[-1]
        assert status != 0 and last.startswith("ask an administrator to install: gcc meson "), out
        assert " libkrb5-dev " in last, out
