"""Programs in Go of Debian's packages, which the preload object does not cover, and what they reach. test_matrix.py has
them as rows. Each of the commands reaches the target by IPv4, by IPv6 and by name."""

import os
import subprocess

import bed
import servers as s
from world import SSH

HOSTS = (bed.TARGET4, "[%s]" % bed.TARGET6, "both.example")  # as in a URL
RESTIC, WEBDAV, SYNCTHING = 8010, 8011, 22000  # ports of the target
SAME = b"all the same"


def each(line):
    """The command that runs a line of shell for each host, $h. $o is a new folder."""
    return ["sh", "-fc", "for h in %s %s %s; do o=SCRATCH/home/go-$$-$h; mkdir $o; %s || exit; rm -r $o; done && echo %s"
            % (*HOSTS, line, SAME.decode())]


WHOLE = " | cmp - SCRATCH/www/1m"
RCLONE = "rclone --config /dev/null --retries 1 --low-level-retries 1 "
COPYURL = each(RCLONE + "copyurl --stdout http://$h/1m" + WHOLE)
COPY = each(RCLONE + "copy --transfers 8 \":webdav,url='http://$h:%d':\" $o/many && diff -r SCRATCH/many $o/many" % WEBDAV)
SFTP = each(RCLONE + "cat \":sftp,host='$h',user=root,key_file=SCRATCH/user_key:SCRATCH/www/1m\"" + WHOLE)
FTP = each(RCLONE + "cat \":ftp,host='$h',user=anonymous,pass=$(rclone obscure x):1m\"" + WHOLE)
GRON = each("gron http://$h/some.json | grep -q through")
GH = each("SSL_CERT_FILE=SCRATCH/tls.crt GH_TOKEN=x GH_HOST=both.example GH_CONFIG_DIR=$o gh api https://$h/1m" + WHOLE)


def restic(*repositories):
    """The command that makes a repository, a backup and its restoration, each with one of the addresses."""
    lines = ("init", "backup .", "restore latest --target $o")
    return ["sh", "-fc", "export RESTIC_PASSWORD=x; o=SCRATCH/home/restic-$$; cd SCRATCH/many && %s && diff -r . $o && "
            "rm -r $o && echo %s" % (" && ".join("restic -q --no-cache -r %s %s" % pair
                                                 for pair in zip(repositories, lines)), SAME.decode())]


REST = restic(*("rest:http://%s:%d/$$" % (host, RESTIC) for host in HOSTS))
OVER_SSH = restic(*("sftp:root@host:SCRATCH/repositories/ssh-$$ -o sftp.command='%s root@%s -s sftp'"
                    % (" ".join(SSH), host.strip("[]")) for host in HOSTS))

SITE = {
    "config.toml": 'baseURL = "http://example/"\ndisableKinds = ["taxonomy", "term", "RSS", "sitemap", "404"]\n',
    "layouts/index.html":
        '{{ range slice "%s" "%s" "%s" }}{{ with resources.GetRemote (printf "http://%%s/some.json" .) }}'
        '{{ with .Err }}{{ errorf "%%s" . }}{{ else }}{{ .Content }}{{ end }}{{ end }}{{ end }}' % HOSTS}
HUGO = ["sh", "-c", "o=SCRATCH/home/hugo-$$; cp -r SCRATCH/site $o && hugo --quiet -s $o -d $o/out --cacheDir $o/cache && "
        "[ $(grep -o through $o/out/index.html | wc -l) = 3 ] && echo " + SAME.decode()]

# --- syncthing ---

# Both sides have the same folder. The target waits for connections.
SYNC = """<configuration version="36">
<folder id="f" path="FOLDER" type="sendreceive" fsWatcherEnabled="false"><device id="%(target)s"/>
<device id="%(client)s"/></folder>
<device id="%(target)s"><address>PEER</address></device><device id="%(client)s"><address>dynamic</address></device>
<gui enabled="false"/><options>%(listen)s<globalAnnounceEnabled>false</globalAnnounceEnabled>
<localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled>
<urAccepted>-1</urAccepted><crashReportingEnabled>false</crashReportingEnabled><startBrowser>false</startBrowser>
<autoUpgradeIntervalH>0</autoUpgradeIntervalH></options></configuration>
"""


def syncthing(protocol):
    """The command that runs syncthing until a file has arrived at each side."""
    return each(
        "cp -r SCRATCH/syncthing/client/. $o; mkdir -p $o/f/.stfolder; echo $h $$ >$o/f/$$-$h; "
        "sed -i \"s|FOLDER|$o/f|; s|PEER|%s://$h:%d|\" $o/config.xml; "
        "syncthing serve --home $o --no-browser --no-restart >$o/log 2>&1 & p=$!; n=0; "
        "until cmp -s $o/f/1m SCRATCH/www/1m && cmp -s $o/f/$$-$h SCRATCH/syncthing/f/$$-$h; do "
        "n=$((n + 1)); [ $n -lt 250 ] || { cat $o/log >&2; break; }; sleep 0.1; done; kill $p; wait; [ $n -lt 250 ]"
        % (protocol, SYNCTHING))


def _syncthing(folder):
    ids = {}
    for name in ("target", "client"):
        out = subprocess.run(["syncthing", "generate", "--home", "%s/%s" % (folder, name), "--no-default-folder",
                              "--skip-port-probing"], check=True, timeout=60, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, env=dict(os.environ, HOME=folder)).stdout
        ids[name] = out.split(b"Device ID:")[1].split()[0].decode()
    home = folder + "/target"
    os.makedirs(folder + "/f/.stfolder")
    for name, text in (("target", "<listenAddress>tcp://:%d</listenAddress><listenAddress>quic://:%d</listenAddress>"
                        % (SYNCTHING, SYNCTHING)), ("client", "<listenAddress>tcp://127.0.0.1:0</listenAddress>")):
        s._write("%s/%s/config.xml" % (folder, name), SYNC % dict(ids, listen=text))
    with open(home + "/config.xml") as f:
        text = f.read().replace("FOLDER", folder + "/f").replace("PEER", "dynamic")
    s._write(home + "/config.xml", text)
    bed.sh("cp %s/../www/1m %s/f/1m; chmod -R a+rX %s/client" % (folder, folder, folder))
    bed.start(bed.TARGET, ["env", "HOME=" + folder, "syncthing", "serve", "--home", home, "--no-browser"],
              stdout=open(folder + "/log", "w"))
    bed.wait_port(bed.TARGET, bed.TARGET4, SYNCTHING)


def targets(w):
    """Starts what the programs reach, once."""
    if hasattr(w, "go_targets"):
        return
    w.go_targets = True
    s._write(w.scratch + "/www/some.json", '{"a": [1, {"b": "it came through"}]}\n')
    for name in ("many", "repositories", "site/layouts", "syncthing"):
        os.makedirs(w.scratch + "/" + name)
    for i in range(40):
        with open("%s/many/%d" % (w.scratch, i), "wb") as f:
            f.write(os.urandom(7 * 3 ** (i % 10)))
    # In a namespace, owners other than the user are unknown, and cannot be restored.
    bed.sh("chown -R %d:%d %s/many" % (bed.user().pw_uid, bed.user().pw_gid, w.scratch))
    for name, text in SITE.items():
        s._write("%s/site/%s" % (w.scratch, name), text)
    for kind, port, there in (("restic", RESTIC, "repositories"), ("webdav", WEBDAV, "many")):
        bed.start(bed.TARGET, ["rclone", "--config", "/dev/null", "serve", kind, "--addr", ":%d" % port,
                               "%s/%s" % (w.scratch, there)], stderr=subprocess.DEVNULL)
        bed.wait_port(bed.TARGET, bed.TARGET4, port)
    _syncthing(w.scratch + "/syncthing")
