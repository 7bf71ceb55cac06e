package integration

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
)

// The test's own binary, mounted into a container, is the program at both ends
// of a connection: it says whom it sees.
//
//	/probe serve ADDRESS          answers on tcp and udp with the peer's address
//	/probe ask NETWORK ADDRESS    prints what such a server answers
//	/probe names NAME COUNT       asks that often for a name, prints how often it was answered

// probeEnv makes the binary a probe instead of a test.
const probeEnv = "BERTH_TEST_PROBE"

// probe runs the binary as a probe.
func probe(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		tcp, udp, err := serve(args[1])
		if err != nil {
			return err
		}
		defer tcp.Close()
		defer udp.Close()
		fmt.Println("ready")
		select {}
	case len(args) == 3 && args[0] == "ask":
		answer, err := ask(args[1], args[2], harness.Patience)
		fmt.Println(answer)
		return err
	case len(args) == 3 && args[0] == "names":
		return askNames(args[1], args[2])
	}
	return fmt.Errorf("probe: %q", args)
}

// serve answers on both protocols of an address until it is closed.
func serve(address string) (net.Listener, net.PacketConn, error) {
	version := "4"
	if strings.HasPrefix(address, "[") {
		version = "" // both
	}
	tcp, err := net.Listen("tcp"+version, address)
	if err != nil {
		return nil, nil, err
	}
	udp, err := net.ListenPacket("udp"+version, tcp.Addr().String())
	if err != nil {
		return nil, nil, errors.Join(err, tcp.Close())
	}
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintln(c, c.RemoteAddr())
			_ = c.Close()
		}
	}()
	go func() {
		b := make([]byte, 16)
		for {
			_, peer, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo([]byte(peer.String()+"\n"), peer)
		}
	}()
	return tcp, udp, nil
}

// ask gives the address, without its port, that a server sees its client have.
func ask(network, address string, patience time.Duration) (string, error) {
	deadline := time.Now().Add(patience)
	c, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	for {
		if network[:3] == "udp" { // may be lost
			if _, err := c.Write([]byte("?")); err != nil {
				return "", err
			}
		}
		step := deadline
		if network[:3] == "udp" && time.Until(deadline) > time.Second {
			step = time.Now().Add(time.Second)
		}
		if err := c.SetReadDeadline(step); err != nil {
			return "", err
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if err == nil {
			host, _, err := net.SplitHostPort(line[:len(line)-1])
			return host, err
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(deadline) {
			return "", fmt.Errorf("%s %s: no answer: %w", network, address, err)
		}
	}
}

// serving runs a container that answers on port 7, ready when this returns.
func serving(t *testing.T, d *harness.Daemon, name string, flags ...string) {
	t.Helper()
	d.Berth(append(append([]string{"run", "-d", "--name", name}, flags...), probeArgs(t, "serve", "0.0.0.0:7")...)...).OK(t)
	await(t, name+" serves", func() bool { return d.Berth("logs", name).OK(t) == "ready" })
}

// asking runs a container that asks a server whom it sees.
func asking(t *testing.T, d *harness.Daemon, network, address string, flags ...string) string {
	t.Helper()
	return d.Berth(append(append([]string{"run", "--rm"}, flags...), probeArgs(t, "ask", network, address)...)...).OK(t)
}

// probeArgs are the last arguments of a run.
func probeArgs(t *testing.T, args ...string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := elf.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	if libraries, _ := binary.ImportedLibraries(); len(libraries) > 0 { // the error is that there are none
		t.Fatalf("the test cannot run in a container, it needs %v: make integration builds it with CGO_ENABLED=0", libraries)
	}
	return append([]string{"-v", self + ":/probe:ro", "-e", probeEnv + "=1", "--entrypoint", "/probe", image}, args...)
}

// sees asks from here, at once or not at all.
func sees(t *testing.T, network, address, want string) {
	t.Helper()
	got, err := ask(network, address, harness.Patience)
	if err != nil || want != "" && got != want {
		t.Errorf("%s %s: the server sees %q (%v), want %q", network, address, got, err, want)
	}
}
