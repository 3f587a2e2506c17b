"""socksify on other architectures than this machine's: connections go through danted, or are refused."""

import os

import pytest
from architecture import TIME32, TIME64, TOP
import bed
import servers as s
import test_structure as structure

TARGETS = [bed.TARGET4, bed.TARGET6]
WIDTHS = {"narrow": TIME32, "wide": TIME64}
CURL = ["curl", "-sS", "-m", "60"]
PRELOAD = ["--engine=preload"]  # what the preload object does not cover is refused


def widths_of(arch):
    return WIDTHS if arch.two_widths else {"native": []}


def test_the_objects_export_the_reviewed_lists(arch):
    assert structure.exported(arch.build) == []
    assert structure.library(arch.build) == []
    assert structure.needs_libc_alone(arch.build) == []


def test_the_trap_sees_what_is_not_covered(arch, trap):
    """If the trap did not work, the other tests would prove nothing."""
    arch.run(CURL + ["-m", "2", "http://%s/page" % bed.TARGET4])
    assert trap.take()


@pytest.mark.parametrize("host", ["both.example", bed.TARGET4, "[%s]" % bed.TARGET6])
def test_curl_goes_through_danted(arch, host):
    assert arch.fine(CURL + ["http://%s/page" % host]) == "it came through\n"


def test_a_configuration_file_is_read(arch):
    """socksify loads the libconfuse of the root."""
    with open(arch.programs + "/socks5.conf", "w", encoding="ascii") as f:
        f.write('server "a" { address = "%s" port = %d }\nrule "all" { via = {"a"} }\n'
                % (bed.PROXY4, s.DANTED))
    status, out, err = arch.run(["/mnt/build/tools/socksify", "-c", "/mnt/programs/socks5.conf", "--",
                                 *CURL, "http://both.example/page"])
    assert (status, out) == (0, "it came through\n"), err


def test_without_a_configuration_nothing_is_sent(arch):
    status, out, err = arch.run(CURL + ["http://%s/page" % bed.TARGET4],
                                LD_PRELOAD="/mnt/build/preload/libsocksify.so")
    assert status != 0 and not out and "no configuration" in err, (status, out, err)


@pytest.mark.parametrize("host", TARGETS)
def test_every_call_with_two_widths(arch, host):
    for width, flags in widths_of(arch).items():
        program = arch.compile("tests/apps/widths.c", "widths-" + width, flags)
        arch.fine([program, host, str(s.ECHO), "datagrams"])


# The overhead is the SOCKS5 header. For the IPv6 target it includes 20 octets: the association uses IPv4, and the
# largest IPv4 datagram holds 20 octets less.
@pytest.mark.parametrize("host, overhead", [(bed.TARGET4, "10"), (bed.TARGET6, "42")])
def test_every_datagram_call(arch, host, overhead):
    for width, flags in widths_of(arch).items():
        program = arch.compile("tests/apps/udp_calls.c", "udp_calls-" + width, flags)
        arch.fine([program, host, str(s.ECHO), overhead])


@pytest.mark.parametrize("host", TARGETS)
def test_datagrams_are_refused_by_a_server_without_udp(arch, host):
    for width, flags in widths_of(arch).items():
        program = arch.compile("tests/apps/udp_refused.c", "udp_refused-" + width, flags)
        arch.fine([program, host, str(s.ECHO), "refused"], port=s.MICROSOCKS)


@pytest.mark.parametrize("name", ["epoll_before", "epoll_thread", "fork_connecting", "tcp_blocking"])
def test_programs_behave_as_without_socksify(arch, name):
    for width, flags in widths_of(arch).items():
        program = arch.compile("tests/apps/%s.c" % name, "%s-%s" % (name, width), flags)
        arch.fine([program, bed.TARGET4, str(s.ECHO)])


def test_plugins_find_the_hooks_and_libc_finds_who_opens_them(arch):
    os.makedirs(arch.programs + "/plugins", exist_ok=True)
    opener, plugin = (arch.compile("tests/apps/%s.c" % name, "plugins/%s.so" % name,
                                   ["-shared", "-fPIC", "-Wl,--enable-new-dtags,-rpath,$ORIGIN"])
                      for name in ("plugin_opener", "plugin"))
    program = arch.compile("tests/apps/load_plugin.c", "load_plugin")
    facts = [program, "facts", opener, plugin]
    bare, covered = arch.run(facts), arch.covered(facts)
    assert bare == covered and "by name, from the library: " + plugin in bare[1], (bare, covered)
    for how in ("local", "deep", "apart"):
        assert arch.fine([program, "open", how, plugin, "both.example", str(s.BANNER)]) == \
            s.BANNER_TEXT.decode()


def test_children_are_covered_with_an_empty_environment(arch):
    command = ["env", "-i", *CURL, "http://both.example/page"]
    assert arch.fine(["/bin/sh", "-c", " ".join(command)]) == "it came through\n"


def test_system_calls_of_32_bits(arch32):
    program = arch32.compile("tests/arch/raw32.c", "raw32", TIME32)
    for host in TARGETS:
        arch32.fine([program, host, str(s.ECHO)])


def test_the_drop_in_functions_have_both_widths(arch):
    library = arch.build + "/libsocks5client"
    for width, flags in widths_of(arch).items():
        program = arch.compile(
            "tests/apps/widths.c", "drop-" + width,
            [*flags, "-I", TOP + "/libsocks5client/include", "-include", "socks5client/socks.h", "-L", library,
             "-lsocks5client", "-Wl,-rpath,/mnt/build/libsocks5client", "-Wl,--allow-shlib-undefined"])
        status, out, err = arch.run([program, bed.TARGET4, str(s.ECHO), "datagrams"],
                                    SOCKS5_SERVER="socks5h://%s:%d" % (bed.PROXY4, s.DANTED))
        assert status == 0, "%s: status %d: %s%s" % (width, status, out, err)


def test_the_preload_engine_refuses_programs_of_another_architecture(arch):
    with open("/bin/true", "rb") as of_this_machine, open(arch.programs + "/other", "wb") as f:
        f.write(of_this_machine.read())
    os.chmod(arch.programs + "/other", 0o755)
    for command in (["/mnt/programs/other"], ["/bin/sh", "-c", "/mnt/programs/other"]):
        status, _, err = arch.covered(command, options=PRELOAD)
        assert status == 126 and "64-bit ELF file for machine 62" in err, (status, err)


def test_calls_without_the_key_are_refused(arch):
    """qemu has no seccomp filters: there socksify says so."""
    fenced = ["/mnt/build/tools/socksify", "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED), "--log", "/dev/null"]
    if not arch.native:
        status, _, err = arch.run([*fenced, "--", "/bin/true"])
        assert status == 0 and err.count("no fence: ") == err.count("\n") == 1, (status, err)
        status, _, err = arch.run([*fenced, "--require-fence", "--", "/bin/true"])
        assert status == 125 and "no fence: " in err, (status, err)
        return
    program = arch.compile("tests/apps/stale_keys.c", "stale_keys")
    for options in ([], ["--no-companion"]):
        status, out, err = arch.run([*fenced, *options, "--", program, bed.TARGET4, str(s.ECHO), "1", "13"])
        assert status == 0 and ", 0 passed " in out and not err, (status, out, err)


def test_static_programs_run_in_a_namespace_or_not_at_all(arch):
    command = [arch.compile("tests/apps/probe.c", "static", ["-static"]), bed.TARGET4, str(s.ECHO)]
    status, _, err = arch.covered(command, options=PRELOAD)
    assert status == 126 and "statically linked" in err, (status, err)
    status, out, err = arch.covered(command)
    if arch.native:
        assert (status, out) == (0, "ok\n"), (status, out, err)
    else:
        assert status == 125 and "no namespace: " in err and not out, (status, out, err)


def test_a_note_with_a_size_that_wraps_is_read_once(arch32):
    """The name size of a note is 12 octets less than 4 GiB: with the header the end of the note wraps to its start. The
    file names an unknown loader, because libc's loader reads notes in this way itself. The file must be refused
    because of the loader."""
    path = arch32.programs + "/note"
    arch32.compile("tests/apps/tcp_blocking.c", "note", TIME32)
    with open(path, "r+b") as f:
        whole = f.read().replace(b"/ld-linux", b"/ld-other")
        f.seek(0)
        f.write(whole)
        f.seek(0)
        head = f.read(52)
        headers, size, count = (int.from_bytes(head[at:at + n], "little") for at, n in ((28, 4), (42, 2), (44, 2)))
        f.seek(headers)
        table = f.read(size * count)
        notes = [int.from_bytes(table[at + 4:at + 8], "little") for at in range(0, size * count, size)
                 if table[at:at + 4] == b"\4\0\0\0"]
        assert notes
        for at in notes:
            f.seek(at)
            f.write(b"\xf4\xff\xff\xff" + bytes(4))
    status, _, err = arch32.covered(["/mnt/programs/note", bed.TARGET4, str(s.ECHO)], options=PRELOAD)
    assert status == 126 and "interpreter /lib/ld-other" in err, (status, err)
