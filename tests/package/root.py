"""A machine of its own made of this one's files, with the bed's client as its network. Dante's client,
of whose names some are ours, is not on it."""

import bed
import machine


class Root(machine.Machine):
    def __init__(self, scratch):
        super().__init__(scratch)
        bed.atexit.register(self.close)
        # No index of manuals is made anew, which takes longer than all else of an installation.
        self.must("rm -f /var/lib/man-db/auto-update; dpkg --purge dante-client 2>/dev/null || true")

    def execute(self, command, seconds, data, ns=bed.CLIENT):
        return bed.run(ns, command, None, seconds, data, root=True)
