// A client in Go, whose runtime makes its own system calls. It is built without cgo, as a static program, and with the
// resolver of the C library. If an operation fails, the name of the errno is printed and the exit status is 1.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const request = "GET / HTTP/1.0\r\nHost: x\r\n\r\n"

var errnoNames = map[syscall.Errno]string{
	syscall.EACCES: "EACCES", syscall.EADDRINUSE: "EADDRINUSE", syscall.EADDRNOTAVAIL: "EADDRNOTAVAIL",
	syscall.EAFNOSUPPORT: "EAFNOSUPPORT", syscall.EAGAIN: "EAGAIN", syscall.ECONNABORTED: "ECONNABORTED",
	syscall.ECONNREFUSED: "ECONNREFUSED", syscall.ECONNRESET: "ECONNRESET", syscall.EHOSTDOWN: "EHOSTDOWN",
	syscall.EHOSTUNREACH: "EHOSTUNREACH", syscall.EINVAL: "EINVAL", syscall.EMSGSIZE: "EMSGSIZE",
	syscall.ENETDOWN: "ENETDOWN", syscall.ENETUNREACH: "ENETUNREACH", syscall.ENOBUFS: "ENOBUFS",
	syscall.ENOENT: "ENOENT", syscall.ENOSYS: "ENOSYS", syscall.EPERM: "EPERM", syscall.EPIPE: "EPIPE",
	syscall.EPROTONOSUPPORT: "EPROTONOSUPPORT", syscall.ETIMEDOUT: "ETIMEDOUT",
}

func nameOf(err error) string {
	var errno syscall.Errno
	var lookup *net.DNSError
	if errors.As(err, &errno) && errnoNames[errno] != "" {
		return errnoNames[errno]
	}
	if errors.As(err, &lookup) && lookup.IsNotFound {
		return "EAI_NONAME"
	}
	if errors.As(err, &lookup) {
		return "EAI_AGAIN"
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "ETIMEDOUT"
	}
	return err.Error()
}

func check(err error) {
	if err != nil {
		fmt.Println(nameOf(err))
		os.Exit(1)
	}
}

// A client that has no proxy of its own, and opens a connection for each request.
func client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

func fetch(url string) ([]byte, error) {
	response, err := client().Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	return io.ReadAll(response.Body)
}

func get(arguments []string) {
	body, err := fetch(arguments[0])
	check(err)
	os.Stdout.Write(body)
}

func getMany(arguments []string) {
	n, err := strconv.Atoi(arguments[1])
	check(err)
	results := make(chan error)
	for i := 0; i < n; i++ {
		go func() {
			_, err := fetch(arguments[0])
			results <- err
		}()
	}
	for i := 0; i < n; i++ {
		check(<-results)
	}
	fmt.Println(n, "done")
}

func dial(network string, arguments []string) net.Conn {
	connection, err := net.Dial(network, net.JoinHostPort(arguments[0], arguments[1]))
	check(err)
	return connection
}

func tcp(arguments []string) {
	connection := dial("tcp", arguments)
	_, err := io.WriteString(connection, request)
	check(err)
	reply, err := io.ReadAll(connection)
	check(err)
	_, body, _ := strings.Cut(string(reply), "\r\n\r\n")
	fmt.Print(body)
}

func udp(arguments []string) {
	connection := dial("udp", arguments)
	_, err := io.WriteString(connection, arguments[2])
	check(err)
	check(connection.SetReadDeadline(time.Now().Add(20 * time.Second)))
	reply := make([]byte, 65536)
	n, err := connection.Read(reply)
	check(err)
	fmt.Println(string(reply[:n]))
}

func connect(arguments []string) {
	dial("tcp", arguments)
	fmt.Println("connected")
}

func lookup(arguments []string) {
	addresses, err := net.LookupHost(arguments[0])
	check(err)
	sort.Strings(addresses)
	fmt.Println(strings.Join(addresses, "\n"))
}

// Serves until a request has a result. The handler returns what is printed then, or "" to wait for another request.
func serveUntil(listener net.Listener, answer func(http.ResponseWriter, *http.Request) string) {
	done := make(chan string, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := answer(w, r); text != "" {
			done <- text
		}
	})}
	server.SetKeepAlivesEnabled(false)
	go server.Serve(listener)
	fmt.Println(<-done)
	soon, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	server.Shutdown(soon) // returns when the answer has been sent
}

func serve(arguments []string) {
	listener, err := net.Listen("tcp", arguments[0])
	check(err)
	fmt.Println("listening", listener.Addr())
	serveUntil(listener, func(w http.ResponseWriter, _ *http.Request) string {
		fmt.Fprintln(w, "from inside")
		return "served"
	})
}

// Waits on the loopback address for the code that a browser brings.
func login(_ []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Printf("http://%s/callback\n", listener.Addr())
	serveUntil(listener, func(w http.ResponseWriter, r *http.Request) string {
		code := r.URL.Query().Get("code")
		if code == "" {
			http.Error(w, "no code", http.StatusBadRequest)
			return ""
		}
		fmt.Fprintln(w, "logged in")
		return "code " + code
	})
}

func run(arguments []string) {
	command := exec.Command(arguments[0], arguments[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := command.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		os.Exit(ended.ExitCode())
	}
	check(err)
}

func main() {
	commands := map[string]struct {
		arguments int
		run       func([]string)
	}{
		"get": {1, get}, "get-many": {2, getMany}, "tcp": {2, tcp}, "udp": {3, udp}, "errno": {2, connect},
		"lookup": {1, lookup}, "serve": {1, serve}, "login": {0, login}, "run": {1, run},
	}
	if len(os.Args) > 1 {
		command := commands[os.Args[1]]
		arguments := os.Args[2:]
		if command.run != nil && (len(arguments) == command.arguments || os.Args[1] == "run" && len(arguments) > 0) {
			command.run(arguments)
			return
		}
	}
	fmt.Fprintln(os.Stderr, "unknown command, or a wrong number of arguments")
	os.Exit(2)
}
