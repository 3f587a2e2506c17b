"""Programs that listen, called back through the server. A caller in the target's namespace is told by
the program whom to call, over a connection of its own, and tells the program what it sees."""

import socket
import threading

import bed
import servers as s
from run import fine, test
from test_apps import AUTH

CALLER = 13
WAYS = ["blocking", "poll", "select", "epoll", "nonblock epoll", "nonblock poll", "nonblock select", "fork",
        "fork nonblock epoll", "exec", "any blocking"]
_callers = []


def call(where, control):
    """One call to WHERE ("host port"): says both ends' names, hears the thanks."""
    host, port = where.split()
    with socket.create_connection((host, int(port)), 10) as c:
        c.sendall(b"%s %d %s %d\n" % (c.getsockname()[0].encode(), c.getsockname()[1],
                                      c.getpeername()[0].encode(), c.getpeername()[1]))
        heard = c.makefile("rb").readline()
    if heard == b"thanks\n":
        control.sendall(b".")


def serve(control):
    try:
        with control, control.makefile("r") as lines, bed.inside(bed.TARGET):
            for line in lines:
                call(line, control)
    except OSError as e:
        print("# the caller: %s" % e, flush=True)


def accept(listener):
    while True:
        control, _ = listener.accept()
        threading.Thread(target=serve, args=(control,), daemon=True).start()


def callers():
    if not _callers:
        with bed.inside(bed.TARGET):
            for address in (bed.TARGET4, bed.TARGET6):
                listener = socket.create_server(
                    (address, CALLER), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
                _callers.append(listener)
                threading.Thread(target=accept, args=(listener,), daemon=True).start()


def called_back(w, how, host, port, user=""):
    callers()
    fine(w.via(port, [w.app("called_back"), host, str(CALLER), how], user))


def bare(w, how, host):
    callers()
    fine(bed.run(bed.PROXY, [w.app("called_back", False), host, str(CALLER), how], w.env, 60))


for HOW in WAYS:
    for HOST in (bed.TARGET4, bed.TARGET6):
        if not HOW.startswith("any"):
            test("bind: called back at %s, %s, bare" % (HOST, HOW))(
                lambda w, how=HOW, host=HOST: bare(w, how, host))
        for LABEL, PORT, USER in (("danted", s.DANTED, ""),
                                  ("danted with password", s.DANTED_AUTH, AUTH)):
            test("bind: called back at %s through %s, %s" % (HOST, LABEL, HOW))(
                lambda w, how=HOW, host=HOST, p=PORT, u=USER: called_back(w, how, host, p, u))
