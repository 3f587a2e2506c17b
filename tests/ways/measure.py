#!/usr/bin/python3
"""Measures the ways past the proxy: measure.py [--write] TOOL...

Runs each way of ways.tsv under each TOOL (bare, hooks, fence, or one of the other programs: torsocks, dante,
proxychains, tsocks), as the user that the table names, and prints the ways that differ from the table. --write
puts the results into the table. Needs root, a build, and Debian's packages of the tools. The tests do not run this
program: they compare bare, hooks and fence with the table by themselves."""

import argparse
import os
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, HERE + "/..", HERE + "/../e2e"]
import bed
import catalogue
import isolated
import servers as s
import ways
import world

FILES = {
    "torsocks": ("TORSOCKS_CONF_FILE", "TorAddress %(host)s\nTorPort %(port)d\nOnionAddrRange 127.42.42.0/24\n"),
    "proxychains": ("PROXYCHAINS_CONF_FILE", "strict_chain\nquiet_mode\nproxy_dns\nremote_dns_subnet 224\n"
                    "tcp_read_time_out 2000\ntcp_connect_time_out 2000\n[ProxyList]\nsocks5 %(host)s %(port)d\n"),
    "tsocks": ("TSOCKS_CONF_FILE", "local = %(host)s/255.255.255.255\nserver = %(host)s\nserver_type = 5\n"
               "server_port = %(port)d\n"),
    "dante": ("SOCKS_CONF", "resolveprotocol: fake\nroute {\n  from: 0.0.0.0/0 to: 0.0.0.0/0 via: %(host)s port = "
              "%(port)d\n  proxyprotocol: socks_v5\n  protocol: tcp udp\n  command: connect bind udpassociate\n"
              "  method: none\n}\n"),
}
WORDS = {"torsocks": ["torsocks"], "proxychains": ["proxychains4", "-q"], "tsocks": ["tsocks"],
         "dante": ["/usr/bin/socksify"]}
MORE = {"torsocks": {"TORSOCKS_LOG_LEVEL": "1"}, "dante": {"SOCKS_AUTOADD_LANROUTES": "no"}}


def tool(w, name):
    """The words before a command, and the environment, that run it under the tool NAME."""
    if name not in WORDS:
        return ways.covered(w, name), w.env
    variable, text = FILES[name]
    path = "%s/%s.conf" % (w.scratch, name)
    s.write(path, text % {"host": bed.PROXY4, "port": s.DANTED})
    os.chmod(path, 0o644)
    return WORDS[name], {**w.env, variable: path, **MORE.get(name, {})}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--build", default="build")
    options.add_argument("--write", action="store_true", help="write the results to ways.tsv and docs/WAYS.md")
    options.add_argument("--only", default="", help="run only the ways whose names contain this word")
    options.add_argument("--verbose", action="store_true", help="print every run")
    options.add_argument("tools", nargs="+", metavar="TOOL", choices=catalogue.COLUMNS)
    args = options.parse_args()
    isolated.enter()
    scratch = tempfile.mkdtemp(prefix="socksify-")
    caught = bed.make(scratch=scratch)
    w = world.World({variant: os.path.abspath(args.build) for variant in world.BUILDS}, scratch)
    os.chmod(scratch, 0o755)
    s.danted_alone(scratch)
    rows = catalogue.read()
    wanted = [row for row in rows if args.only in row["name"]]
    try:
        for name in args.tools:
            before, env = tool(w, name)
            if before is None:
                sys.exit("socksify cannot run with \"%s\" yet" % name)
            found = ways.measure(caught, w.build + "/tests/ways/ways", before, env, catalogue.runs(wanted))
            differ = report(name, wanted, *found, args.verbose)
            print("%s: %d runs, %d ways differ from the table" % (name, len(found[0]), differ))
    finally:
        bed.stop_all()
        shutil.rmtree(scratch, ignore_errors=True)
    if args.write:
        catalogue.write(rows)


def report(name, rows, runs, unknown, verbose):
    """Puts the verdicts of the column NAME into ROWS. Returns how many were others."""
    differ = 0
    for row in rows:
        own = [run for run in runs if run.name == row["name"]]
        verdict = catalogue.together(own, None if name == "bare" else row["bare"])
        if row["name"] in catalogue.RACES and row[name] == catalogue.OPEN:
            verdict = catalogue.OPEN
        changed = verdict != row[name]
        differ += changed
        if changed or verbose:
            for run in own:
                print("%-12s %-28s %-5s %-8s (%s) %s, status %s, %s" % (
                    name, run.name, "root" if run.root else "user", run.verdict, row[name], run.said, run.status,
                    run.packet or ""))
        row[name] = verdict
    for what in sorted(set(unknown)):
        print("%s: a packet without a token: %s" % (name, what))
    return differ


if __name__ == "__main__":
    main()
