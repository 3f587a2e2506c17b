#!/usr/bin/python3
"""A Kerberos realm in a scratch directory: KDC, principals, keytabs, and the environment variables for its clients.
As a module: Realm(). As a program, realm.py DIRECTORY ADDRESS PORT SERVICE... makes a realm, writes DIRECTORY/env
with the variables of clients and servers, and serves until its standard input ends."""

import os
import subprocess
import sys
import time

REALM = "SOCKS5.TEST"

KRB5_CONF = """[libdefaults]
 default_realm = %(realm)s
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
 kdc_timeout = 3
 max_retries = 1
[realms]
 %(realm)s = {
  kdc = %(address)s:%(port)d
 }
[domain_realm]
 .test = %(realm)s
 test = %(realm)s
"""

KDC_CONF = """[kdcdefaults]
 kdc_listen = %(address)s:%(port)d
 kdc_tcp_listen = %(address)s:%(port)d
[realms]
 %(realm)s = {
  database_name = %(dir)s/principal
  key_stash_file = %(dir)s/stash
  acl_file = %(dir)s/acl
  max_life = 10h
 }
[logging]
 kdc = FILE:%(dir)s/kdc.log
"""


class Realm:
    def __init__(self, directory, address, port, services, users=("alice",), prefix=(), user=()):
        """The keys of SERVICES ("rcmd/proxy.test", ...) are in DIRECTORY/services.keytab, those of USERS in
        DIRECTORY/USER.keytab. PREFIX is put before the command of the KDC, USER before commands of a user."""
        os.makedirs(directory, exist_ok=True)
        self.dir, self.prefix, self.user = directory, list(prefix), list(user)
        names = {"realm": REALM, "address": address, "port": port, "dir": directory}
        with open(directory + "/krb5.conf", "w") as f:
            f.write(KRB5_CONF % names)
        with open(directory + "/kdc.conf", "w") as f:
            f.write(KDC_CONF % names)
        self.client = {"KRB5_CONFIG": directory + "/krb5.conf",
                       "KRB5CCNAME": "FILE:%s/ccache" % directory}
        self.server = {"KRB5_CONFIG": directory + "/krb5.conf",
                       "KRB5_KTNAME": "FILE:%s/services.keytab" % directory,
                       "KRB5RCACHENAME": "none:"}
        self.env = dict(os.environ, KRB5_KDC_PROFILE=directory + "/kdc.conf", **self.client)
        self.env["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
        self._run(["kdb5_util", "create", "-s", "-P", "master"])
        for name in services:
            self._local("addprinc -randkey " + name)
            self._local("ktadd -k %s/services.keytab %s" % (directory, name))
        for name in users:
            self._local("addprinc -randkey " + name)
            self._local("ktadd -k %s/%s.keytab %s" % (directory, name, name))
            os.chmod("%s/%s.keytab" % (directory, name), 0o644)
        self.start()
        self.kinit("alice")

    def start(self):
        self.kdc = subprocess.Popen(self.prefix + ["krb5kdc", "-n"], env=self.env,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)

    def stop(self):
        self.kdc.terminate()
        self.kdc.wait(10)

    def _run(self, command):
        done = subprocess.run(command, env=self.env, stdin=subprocess.DEVNULL, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise RuntimeError("%s: %s" % (command, done.stdout))

    def _local(self, query):
        self._run(["kadmin.local", "-q", query])

    def kinit(self, user, *options, cache=None):
        """Gets credentials for USER. Retries, because the KDC may need a moment to start."""
        env = dict(self.env, KRB5CCNAME=cache) if cache else self.env
        for _ in range(100):
            done = subprocess.run(self.user + ["kinit", "-k", "-t", "%s/%s.keytab"
                                                 % (self.dir, user), *options, user], env=env,
                                  stdin=subprocess.DEVNULL, timeout=60, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError("kinit: %s" % done.stdout)


def main():
    directory, address, port, *services = sys.argv[1:]
    realm = Realm(directory, address, int(port), services)
    with open(directory + "/env.new", "w") as f:
        for name, value in {**realm.client, **realm.server}.items():
            f.write("%s=%s\n" % (name, value))
    os.rename(directory + "/env.new", directory + "/env")
    sys.stdin.read()
    realm.stop()


if __name__ == "__main__":
    main()
