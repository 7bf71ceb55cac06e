package net

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	stdnet "net"
	"syscall"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/net/nettest"
	"golang.org/x/sys/unix"
)

// sctp is a packet with one chunk, of RFC 9260: INIT is 1 and INIT ACK 2.
func sctp(from, to uint16, chunk byte) []byte {
	b := make([]byte, 32)
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	if chunk != 1 {
		binary.BigEndian.PutUint32(b[4:], 7) // verification tag: what INIT asked for
	}
	b[12] = chunk
	binary.BigEndian.PutUint16(b[14:], 20)
	binary.BigEndian.PutUint32(b[16:], 7)     // initiate tag
	binary.BigEndian.PutUint32(b[20:], 1<<16) // window
	binary.BigEndian.PutUint16(b[24:], 1)     // streams
	binary.BigEndian.PutUint16(b[26:], 1)
	// The sum is stored as CRC32c has it, least significant byte first.
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// raw is a socket for SCTP packets in a namespace: the kernel here has no SCTP
// of its own.
func raw(t *testing.T, ns string) stdnet.PacketConn {
	t.Helper()
	var c stdnet.PacketConn
	nettest.In(t, ns, func() (err error) {
		c, err = stdnet.ListenPacket("ip4:132", "0.0.0.0")
		return err
	})
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil { // the bound of a hang
		t.Fatal(err)
	}
	return c
}

func receives(t *testing.T, c stdnet.PacketConn, from string, ports [2]uint16, chunk byte) {
	t.Helper()
	b := make([]byte, 1500)
	n, peer, err := c.ReadFrom(b)
	if err != nil || n < 13 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	got := [2]uint16{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])}
	if peer.String() != from || got != ports || b[12] != chunk {
		t.Errorf("from %s, ports %d, chunk %d; want %s, %d, %d", peer, got, b[12], from, ports, chunk)
	}
}

// A published port of SCTP, there and back.
func TestSCTP(t *testing.T) {
	lan := nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	m := open(t)
	key, _, bound := start(t, m, "s", portMap(t, "5000:50/sctp"))
	if len(bound) != 1 {
		t.Fatalf("bound %v", bound)
	}
	client, server := raw(t, lan.Path), raw(t, key)
	if _, err := client.WriteTo(sctp(4000, 5000, 1), &stdnet.IPAddr{IP: stdnet.IPv4(192, 0, 2, 1)}); err != nil {
		t.Fatal(err)
	}
	receives(t, server, "192.0.2.9", [2]uint16{4000, 50}, 1)
	if _, err := server.WriteTo(sctp(50, 4000, 2), &stdnet.IPAddr{IP: stdnet.IPv4(192, 0, 2, 9)}); err != nil {
		t.Fatal(err)
	}
	receives(t, client, "192.0.2.1", [2]uint16{5000, 4000}, 2)
}

// Packets of the MTU pass whole between containers and by a published port,
// and the kernel says so of larger ones.
func TestMTU(t *testing.T) {
	const mtu, headers = 1400, 28 // of IPv4 and UDP
	lan := nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	m := open(t, func(c *Config) { c.MTU = mtu })
	_, ip, _ := start(t, m, "server", portMap(t, "5353:53/udp"), "udp/:53")
	other, _, _ := start(t, m, "other", nil)
	listen(t, lan.Path, "udp/:53", "lan")
	for _, tt := range []struct{ name, from, to, want string }{
		{"between containers", other, ip.String() + ":53", "server sees 172.17.0.3"},
		{"out", other, "192.0.2.9:53", "lan sees 192.0.2.1"},
		{"published", lan.Path, "192.0.2.1:5353", "server sees 192.0.2.9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c *stdnet.UDPConn
			nettest.In(t, tt.from, func() error {
				d := stdnet.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
					cerr := raw.Control(func(fd uintptr) {
						err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
					})
					return errors.Join(err, cerr)
				}}
				conn, err := d.Dial("udp", tt.to)
				if err == nil {
					c = conn.(*stdnet.UDPConn)
				}
				return err
			})
			defer c.Close()
			if _, err := c.Write(make([]byte, mtu-headers)); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second)) // the bound of a hang
			b := make([]byte, 64)
			if n, err := c.Read(b); err != nil || string(b[:n]) != tt.want {
				t.Errorf("got %q, %v", b[:n], err)
			}
			if tt.from == lan.Path {
				return // its own device takes more
			}
			if _, err := c.Write(make([]byte, mtu-headers+1)); !errors.Is(err, unix.EMSGSIZE) {
				t.Errorf("one byte more: %v", err)
			}
		})
	}
}
