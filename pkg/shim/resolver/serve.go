package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// maxConns bounds the connections of the container to its resolver; more wait.
	maxConns = 64
	// idle is how long a connection may say nothing, and take nothing.
	idle = 10 * time.Second
	// respite is waited for after an error of a socket, such as a lack of memory.
	respite = 50 * time.Millisecond
)

func (r *Resolver) serveUDP(c *net.UDPConn) {
	buf := make([]byte, maxQuery+1)
	for {
		n, peer, err := c.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			r.pause()
		case n <= maxQuery:
			r.datagram(c, peer, buf[:n])
		}
	}
}

func (r *Resolver) pause() {
	select {
	case <-r.ctx.Done():
	case <-time.After(respite):
	}
}

// datagram answers at once what is known here; the next one waits for no name
// server.
func (r *Resolver) datagram(c *net.UDPConn, peer netip.AddrPort, b []byte) {
	// What cannot be sent is lost, as a datagram may be; the client asks again.
	send := func(b []byte) { _, _ = c.WriteToUDPAddrPort(b, peer) }
	q, out := r.local(b, false)
	if q == nil || out != nil {
		send(out)
		return
	}
	select {
	case r.slots <- struct{}{}:
	default:
		send(q.fails(dnsmessage.RCodeRefused))
		return
	}
	q.raw = append([]byte(nil), b...)
	r.wg.Go(func() {
		defer func() { <-r.slots }()
		send(r.forward(q))
	})
}

func (r *Resolver) serveTCP(l *net.TCPListener) {
	conns := make(chan struct{}, maxConns)
	for {
		conns <- struct{}{}
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			<-conns
			r.pause()
			continue
		}
		r.wg.Go(func() {
			defer func() { <-conns }()
			stop := context.AfterFunc(r.ctx, func() { _ = c.Close() })
			defer stop()
			defer c.Close()
			for r.exchange(c) {
			}
		})
	}
}

// exchange answers one query of a connection.
func (r *Resolver) exchange(c net.Conn) bool {
	_ = c.SetDeadline(time.Now().Add(idle))
	b, err := readTCP(c, maxQuery)
	if err != nil {
		return false
	}
	q, out := r.local(b, true)
	if q == nil {
		return false
	}
	if out == nil {
		select {
		case r.slots <- struct{}{}:
			out = r.forward(q)
			<-r.slots
		default:
			out = q.fails(dnsmessage.RCodeRefused)
		}
	}
	_ = c.SetDeadline(time.Now().Add(idle))
	return writeTCP(c, out) == nil
}

// readTCP and writeTCP: by TCP a message comes after its length (RFC 1035, 4.2.2).
func readTCP(c io.Reader, limit int) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > limit {
		return nil, errors.New("message too long")
	}
	b := make([]byte, n)
	_, err := io.ReadFull(c, b)
	return b, err
}

func writeTCP(c io.Writer, b []byte) error {
	_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}

// local answers what needs no name server. q is nil if nothing is to be sent; out is
// nil if name servers are to be asked.
func (r *Resolver) local(b []byte, tcp bool) (q *query, out []byte) {
	q, code, err := parse(b, tcp)
	switch {
	case err != nil:
		return nil, nil
	case code != dnsmessage.RCodeSuccess:
		return q, q.fails(code)
	case q.question.Class != dnsmessage.ClassINET:
		return q, nil
	}
	s := r.view.get().scope()
	name := q.name()
	family := func(netip.Addr) bool { return false }
	switch q.question.Type {
	case dnsmessage.TypePTR:
		if a, ok := reverse(name); ok {
			if host := s.host(a); host != "" {
				return q, q.pointer(host)
			}
		}
		return q, nil
	case dnsmessage.TypeA:
		family = netip.Addr.Is4
	case dnsmessage.TypeAAAA:
		family = netip.Addr.Is6
	}
	// A name of ours has nothing of other types, nor of a family that its network
	// lacks: nobody else is asked, who would say that there is no such name.
	if addrs, known := s.addresses(name, family); known {
		return q, q.addresses(addrs)
	}
	// The user wants the search domains tried before a name without a dot.
	if r.cfg.Ndots && !strings.Contains(name, ".") && (q.question.Type == dnsmessage.TypeA || q.question.Type == dnsmessage.TypeAAAA) {
		return q, q.fails(dnsmessage.RCodeSuccess)
	}
	return q, nil
}

// forward has name servers answer.
func (r *Resolver) forward(q *query) []byte {
	v := r.view.get()
	out := r.upstream.ask(r.ctx, q, v != nil && v.forward)
	if out == nil {
		return q.fails(dnsmessage.RCodeServerFailure)
	}
	if len(out) > q.limit {
		return q.reply(dnsmessage.RCodeSuccess, true, nil)
	}
	binary.BigEndian.PutUint16(out, q.ID)
	return out
}
