#!/usr/bin/python3
"""The house's rules, checked: who includes whom, what the objects need and export."""

import argparse
import glob
import os
import re
import subprocess
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
ROOMS = {"base": {"base"}, "core": {"base", "core"}, "policy": {"base", "policy"},
         "sock": {"base", "core", "policy", "sock"}, "api": {"base", "core", "policy", "api"}}


def room_of_headers():
    return {os.path.basename(h): room for room in ROOMS
            for h in glob.glob("%s/libsocks5client/%s/*.h" % (TOP, room))}


def includes():
    headers, wrong = room_of_headers(), []
    for room, allowed in ROOMS.items():
        for path in glob.glob("%s/libsocks5client/%s/*.[ch]" % (TOP, room)):
            for name in re.findall(r'#include "([^"]+)"', open(path).read()):
                if headers.get(name, room) not in allowed:
                    wrong.append("%s includes %s" % (path, name))
    return wrong


def confuse_once():
    return [p for p in glob.glob(TOP + "/**/*.[ch]", recursive=True)
            if "confuse.h>" in open(p, errors="replace").read() and "/policy/config.c" not in p]


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def needs_libc_alone(build):
    needed = re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-d",
                                                    build + "/preload/libsocksify.so"))
    return [n for n in needed if not n.startswith("libc.")]


def symbols(path):
    text = output("nm", "-D", "--defined-only", path)
    return sorted({line.split()[2].split("@")[0] for line in text.splitlines()})


def exported(build):
    with open(TOP + "/tests/house/preload.symbols") as f:
        reviewed = f.read().split()
    return sorted(set(symbols(build + "/preload/libsocksify.so")) ^ set(reviewed))


def library(build):
    names = symbols(build + "/libsocks5client/libsocks5client.so.0")
    return [n for n in names if not n.startswith(("socks5_", "SOCKS5CLIENT_"))]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--build", default="build")
    build = options.parse_args().build
    passed = failed = 0
    for what, check in (("rooms include downwards alone", includes),
                        ("one file names confuse.h", confuse_once),
                        ("the preload object needs libc alone", lambda: needs_libc_alone(build)),
                        ("it exports the reviewed list", lambda: exported(build)),
                        ("the library exports its own names alone", lambda: library(build))):
        wrong = check()
        print("%s - %s%s" % ("FAILED" if wrong else "ok", what, ": " + "; ".join(wrong)
                             if wrong else ""))
        passed, failed = passed + (not wrong), failed + bool(wrong)
    print("house: %d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
