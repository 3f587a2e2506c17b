"""A separate machine with the files of this one, and with the network of the bed's client. Dante's client is removed
from it, because it has files with the same names as ours."""

import bed
import machine


class Root(machine.Machine):
    def __init__(self, scratch):
        super().__init__(scratch)
        bed.atexit.register(self.close)
        # The index of manuals is not rebuilt. That would take longer than the rest of an installation.
        self.must("rm -f /var/lib/man-db/auto-update; dpkg --purge dante-client 2>/dev/null || true")

    def execute(self, command, seconds, data, ns=bed.CLIENT):
        return bed.run(ns, command, None, seconds, data, root=True)
