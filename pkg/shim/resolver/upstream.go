package resolver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-engine/berth/pkg/streams"
	"golang.org/x/net/dns/dnsmessage"
)

const (
	// maxServers are asked; the C library and Docker stop there, too.
	maxServers = 3
	// maxSends is how often a query is sent in all.
	maxSends = 4
	// step is how long the last server asked has before the next is asked beside it.
	step = time.Second
	// giveUp is before the C library does, which waits for 5 seconds.
	giveUp = 4500 * time.Millisecond
	// spared is how long a server that did not answer is asked last.
	spared = 10 * time.Second
)

// upstream is the name servers that the container was given.
type upstream struct {
	servers []*server
	dial    func(ctx context.Context, network string, s streams.Server) (net.Conn, error)
}

type server struct {
	streams.Server
	silent atomic.Int64 // when it last let another answer first; Unix time in nanoseconds
}

func newUpstream(all []streams.Server, dial func(context.Context, string, streams.Server) (net.Conn, error)) *upstream {
	u := &upstream{dial: dial}
	for _, s := range all {
		// The container's resolver must not ask itself.
		if (s.Host || s.Addr != Address) && len(u.servers) < maxServers {
			u.servers = append(u.servers, &server{Server: s})
		}
	}
	return u
}

// order is in which the servers are asked. Without a way outside those of the
// host are not: they would tell the container's names, and whatever it puts
// into names, to the world (CVE-2024-29018).
func (u *upstream) order(outside bool, now time.Time) []*server {
	var first, last []*server
	for _, s := range u.servers {
		switch {
		case s.Host && !outside:
		case now.Sub(time.Unix(0, s.silent.Load())) < spared:
			last = append(last, s)
		default:
			first = append(first, s)
		}
	}
	return append(first, last...)
}

// answer is what became of one sending.
type answer struct {
	from *server
	msg  []byte // nil if the server failed
}

// ask gives the first good answer of a server, or nil.
func (u *upstream) ask(ctx context.Context, q *query, outside bool) []byte {
	ctx, cancel := context.WithTimeout(ctx, giveUp)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	servers := u.order(outside, time.Now())
	answers := make(chan answer, maxSends)
	sent := []sending{}
	pending := 0
	// send asks the next one in turn that has not failed.
	send := func() {
		if len(servers) == 0 || len(sent) == maxSends {
			return
		}
		s := servers[0]
		servers = append(servers[1:], s)
		sent = append(sent, sending{s, time.Now()})
		pending++
		wg.Go(func() { answers <- answer{s, u.exchange(ctx, s, q)} })
	}
	next := time.NewTicker(step)
	defer next.Stop()
	for send(); pending > 0; {
		select {
		case a := <-answers:
			pending--
			if a.msg != nil {
				markSilent(sent, a.from, time.Now())
				return a.msg
			}
			servers = slices.DeleteFunc(servers, func(s *server) bool { return s == a.from })
			send()
		case <-next.C:
			send()
		case <-ctx.Done():
			markSilent(sent, nil, time.Now())
			return nil
		}
	}
	return nil
}

// sending is a server that was asked, and when.
type sending struct {
	to *server
	at time.Time
}

// markSilent notes who has had its time when another answered.
func markSilent(sent []sending, from *server, now time.Time) {
	for _, s := range sent {
		if s.to != from && now.Sub(s.at) >= step {
			s.to.silent.Store(now.UnixNano())
		}
	}
	if from != nil {
		from.silent.Store(0)
	}
}

// exchange asks one server, over what the client came by. The id and the port
// are random: answers that somebody guesses are for another.
func (u *upstream) exchange(ctx context.Context, s *server, q *query) []byte {
	network := "udp"
	if q.limit == maxTCP {
		network = "tcp"
	}
	c, err := u.dial(ctx, network, s.Server)
	if err != nil {
		return nil
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	msg := slices.Clone(q.raw)
	_, _ = rand.Read(msg[:2]) // never fails
	id := binary.BigEndian.Uint16(msg)
	if network == "tcp" {
		if writeTCP(c, msg) != nil {
			return nil
		}
	} else if _, err := c.Write(msg); err != nil {
		return nil
	}
	for {
		b, err := receive(c, network)
		if err != nil {
			return nil
		}
		code, ok := q.answered(b, id)
		switch {
		case !ok:
			// Not the server's, or to another query: the answer may still come.
		case code == dnsmessage.RCodeServerFailure || code == dnsmessage.RCodeRefused:
			return nil
		default:
			return b
		}
	}
}

// receive gives a message. One that was cut because it is larger than UDP
// messages may be here has more than maxUDP bytes.
func receive(c net.Conn, network string) ([]byte, error) {
	if network == "tcp" {
		return readTCP(c, maxTCP)
	}
	b := make([]byte, maxUDP+1)
	n, err := c.Read(b)
	return b[:n], err
}
