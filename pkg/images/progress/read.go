package progress

import (
	"io"
	"time"

	"github.com/moby/moby/api/types/jsonstream"
)

// Reader is from, telling under a status, of a layer if id is given, how much of
// size bytes was read; -1 when nobody knows.
func (r *Reporter) Reader(from io.Reader, id, status string, size int64) io.Reader {
	return &counted{from: from, out: r, id: id, status: status, size: max(size, 0)}
}

type counted struct {
	from       io.Reader
	out        *Reporter
	id, status string
	at, size   int64
	told       time.Time
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.at += int64(n)
	if now := time.Now(); err != nil || now.Sub(c.told) >= interval {
		c.told = now
		c.out.mu.Lock()
		c.out.tellLocked(jsonstream.Message{ID: c.id, Status: c.status, Progress: &jsonstream.Progress{Current: c.at, Total: c.size}})
		c.out.mu.Unlock()
	}
	return n, err
}
