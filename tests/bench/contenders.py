"""What is measured: a direct connection, a program that speaks SOCKS5 itself, this project, and the other tools in
Debian. Each tool covers the same ordinary program and is configured for the same server. This project's namespace
engine runs a static build of it, which no preload object covers."""

import os

LIBRARIES = "/usr/lib/x86_64-linux-gnu/"
USER = PASSWORD = "bench"

PROXYCHAINS = """strict_chain
quiet_mode
proxy_dns
remote_dns_subnet 224
tcp_read_time_out 15000
tcp_connect_time_out 8000
[ProxyList]
socks5 %(server)s %(port)d %(login)s
"""
TSOCKS = """local = %(server)s/255.255.255.255
server = %(server)s
server_type = 5
server_port = %(port)d
default_user = bench
default_pass = bench
"""
TORSOCKS = """TorAddress %(server)s
TorPort %(port)d
OnionAddrRange 127.42.42.0/24
%(torlogin)s
"""
DANTE = """resolveprotocol: fake
route {
  from: 0.0.0.0/0 to: 0.0.0.0/0 via: %(server)s port = %(port)d
  proxyprotocol: socks_v5
  protocol: tcp udp
  command: connect udpassociate
  method: %(method)s
}
"""
SOCKSIFY = """server "peer" { address = "%(server)s" port = %(port)d %(ourlogin)s}
rule "all" { via = {"peer"} }
"""


class Contender:
    """SPEAKS: the program itself speaks SOCKS5. Otherwise PRELOAD is the object that covers it, CONFIG is the text of its
    configuration, and VARIABLE is the environment variable with the path of that file. WRAP is put before the command. With
    STATIC the programs are static builds."""

    def __init__(self, name, *, speaks=False, preload="", config="", variable="", more=None, wrap=None, static=False):
        self.name, self.speaks, self.preload, self.static = name, speaks, preload, static
        self.config, self.variable, self.more = config, variable, more or {}
        self.wrap = wrap or (["env", "LD_PRELOAD=" + preload] if preload else [])

    def environment(self, scratch, server, port, login):
        """The environment of a program that is covered by this tool, without LD_PRELOAD."""
        env = {"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": scratch, **self.more}
        if self.config:
            path = "%s/%s-%s-%d.conf" % (scratch, self.name, server, port)
            with open(path, "w", encoding="ascii") as f:
                f.write(self.config % {
                    "server": server, "port": port,
                    "login": USER + " " + PASSWORD if login else "",
                    "method": "username" if login else "none",
                    "torlogin": "SOCKS5Username bench\nSOCKS5Password bench" if login else "",
                    "ourlogin": 'username = "bench" password = "bench" ' if login else ""})
            os.chmod(path, 0o600)
            env[self.variable] = path
        return env


def everybody(build):
    def ours(name, *options, **more):  # as users start it
        return Contender(name, config=SOCKSIFY, variable="SOCKS5_CONF", **more,
                         wrap=[build + "/tools/socksify", *options, "--"])
    return [
        Contender("direct"),
        Contender("floor", speaks=True),
        # Where only the preload object is measured, the variable is sufficient.
        ours("socksify", preload=build + "/preload/libsocksify.so"),
        ours("socksify, namespace", "--engine=namespace", static=True),
        ours("socksify, strict", "--strict", static=True),
        Contender("proxychains4", preload=LIBRARIES + "libproxychains.so.4", config=PROXYCHAINS,
                  variable="PROXYCHAINS_CONF_FILE", more={"PROXYCHAINS_QUIET_MODE": "1"}),
        Contender("tsocks", preload=LIBRARIES + "libtsocks.so", config=TSOCKS,
                  variable="TSOCKS_CONF_FILE"),
        Contender("torsocks", preload=LIBRARIES + "torsocks/libtorsocks.so", config=TORSOCKS,
                  variable="TORSOCKS_CONF_FILE", more={"TORSOCKS_LOG_LEVEL": "1"}),
        Contender("Dante", preload=LIBRARIES + "libdsocksd.so.0", config=DANTE,
                  variable="SOCKS_CONF", more={"SOCKS_AUTOADD_LANROUTES": "no", "SOCKS_USERNAME":
                                               USER, "SOCKS_PASSWORD": PASSWORD}),
    ]
