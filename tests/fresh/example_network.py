"""The hosts of README.md's examples on a machine without a network: proxy.example, a SOCKS5 server, and example.org, a
web server whose name only the SOCKS5 server can resolve."""

PAGE = "it came through"
LOG = "/var/log/microsocks"
CERTIFICATE = """
cd /usr/local/share/ca-certificates
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=example.org \\
    -addext subjectAltName=DNS:example.org -keyout /root/example.key -out example.crt
update-ca-certificates
"""
WEB = '''
import http.server, ssl, threading
PAGE = b"%s\\n"

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

plain = http.server.ThreadingHTTPServer(("10.88.2.2", 80), Handler)
secure = http.server.ThreadingHTTPServer(("10.88.2.2", 443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/usr/local/share/ca-certificates/example.crt", "/root/example.key")
secure.socket = context.wrap_socket(secure.socket, server_side=True)
threading.Thread(target=plain.serve_forever, daemon=True).start()
secure.serve_forever()
''' % PAGE
# The SOCKS5 server has its own hosts file. The script waits until the servers in the background are ready.
START = """
printf '127.0.0.1 localhost\\n10.88.2.2 example.org\\n' >/root/hosts.server
printf '127.0.0.1 localhost\\n10.88.2.1 proxy.example\\n' >/etc/hosts
: >/etc/resolv.conf
python3 /root/web.py </dev/null >/var/log/web 2>&1 &
unshare --mount sh -ec 'mount --bind /root/hosts.server /etc/hosts
    exec microsocks -i 10.88.2.1 -p 1080' </dev/null >%s 2>&1 &
for address in 10.88.2.1/1080 10.88.2.2/80 10.88.2.2/443; do
    for _ in $(seq 200); do
        (exec 3<>/dev/tcp/$address) 2>/dev/null && continue 2
        sleep 0.1
    done
    cat /var/log/web %s
    exit 1
done
""" % (LOG, LOG)


def start(machine):
    """Installs what the servers need, disconnects the machine from the network and starts them."""
    machine.must("apt-get install -q microsocks curl ca-certificates openssl", seconds=3600)
    machine.must(CERTIFICATE)
    machine.write("/root/web.py", WEB)
    machine.cut_off()
    machine.must(START)


def served(machine):
    """The log of the SOCKS5 server, with its connections."""
    return machine.must("cat " + LOG)
