"""A Kerberos realm with its KDC, and Dante built with GSSAPI, both in the proxy namespace."""

import os
import sys

import bed
import servers

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peer"))
import realm as realms

GSSAPI, KDC = 1086, 1095
NAME = "proxy.test"

CONF = """
logoutput: %(dir)s/danted-gssapi.log
internal: %(p4)s port = %(port)d
external: 10.88.2.1
external: fd88:2::1
external.rotation: route
clientmethod: none
socksmethod: gssapi
user.privileged: root
user.unprivileged: nobody
client pass { from: 0/0 to: 0/0
 gssapi.keytab: FILE:%(keytab)s
 gssapi.enctype: clear integrity confidentiality
}
socks block { from: 0.0.0.0/0 to: 10.88.2.99/32 }
socks pass { from: 0/0 to: 0/0
 socksmethod: gssapi
 gssapi.keytab: FILE:%(keytab)s
 gssapi.enctype: clear integrity confidentiality
 udp.portrange: 40000-49999
}
"""


def hosts():
    """Adds NAME to the hosts files of client and proxy, with the proxy's address."""
    for ns in (bed.CLIENT, bed.PROXY):
        with open(bed.FILES[ns] + "/hosts", "a", encoding="ascii") as f:
            f.write("%s %s\n" % (bed.PROXY4, NAME))


class Kerberos:
    def __init__(self, scratch):
        hosts()
        self.sockd = servers.dante()
        self.dir = scratch + "/krb5"
        bed.user_folder(self.dir)
        self.realm = realms.Realm(self.dir, bed.PROXY4, KDC, ["rcmd/" + NAME], ["alice"],
                                  bed.within(bed.PROXY, [], root=True), bed.within(bed.PROXY, []))
        bed.atexit.register(self.realm.stop)
        os.chmod(self.dir + "/services.keytab", 0o644)
        conf = self.dir + "/danted.conf"
        with open(conf, "w") as f:
            f.write(CONF % {"dir": scratch, "p4": bed.PROXY4, "port": GSSAPI,
                            "keytab": self.dir + "/services.keytab"})
        bed.start(bed.PROXY, ["env"] + self.words(self.realm.server)
                  + [self.sockd, "-f", conf, "-p", self.dir + "/danted.pid"])
        bed.wait_port(bed.PROXY, bed.PROXY4, GSSAPI)

    @staticmethod
    def words(env):
        return ["%s=%s" % pair for pair in env.items()]

    def conf(self, level="confidentiality", port=GSSAPI, more="", methods='"gssapi"'):
        path = "%s/%s.conf" % (self.dir, abs(hash((level, port, more, methods))))
        with open(path, "w") as f:
            f.write('server "corp" {\n address = "%s"\n port = %d\n methods = {%s}\n'
                    ' gssapi-protection = "%s"\n%s\n}\nrule "all" { command = {"connect", "bind", "udp"} via = {"corp"} }\n'
                    % (NAME, port, methods, level, more))
        return path


# --- programs that use the bridge of their process tree ---


def krb(w):
    """The realm and the server. They are started by the first test that needs them."""
    if not hasattr(w, "kerberos"):
        w.kerberos = Kerberos(w.scratch)
    return w.kerberos


def via(w, command, level="confidentiality", seconds=60, env=None, **more):
    k = krb(w)
    words = k.words(env or k.realm.client)
    return bed.run(bed.CLIENT, ["env"] + words + [w.socksify, "-c", k.conf(level, **more), "--"]
                   + command, w.env, seconds)


def preloaded(w, command, level="confidentiality", seconds=60, **more):
    k = krb(w)
    words = k.words(k.realm.client) + ["LD_PRELOAD=" + w.object, "SOCKS5_CONF="
                                       + k.conf(level, **more)]
    return bed.run(bed.CLIENT, ["env"] + words + command, w.env, seconds)
