// Package fluentd sends a log to a Fluentd or Fluent Bit server, with the records
// and the options of Docker's driver of that name, in the forward protocol
// (https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1).
package fluentd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/logs/link"
	"github.com/berth-engine/berth/pkg/logs/record"
	"github.com/berth-engine/berth/pkg/streams"
)

const (
	connectBound = 3 * time.Second
	maxRetryWait = time.Minute
)

// Sender sends entries to one server.
type Sender struct {
	ctx  context.Context // of the log
	o    options
	log  streams.Log
	link *link.Link
	buf  []byte
}

// Open connects to the server that log's options name, unless they say async. ctx
// is for as long as the sender is used; its end ends whatever Send waits for.
func Open(ctx context.Context, log streams.Log) (*Sender, error) {
	o, err := parse(log.Options)
	if err != nil {
		return nil, err
	}
	var conf *tls.Config
	if o.tls {
		conf = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	s := &Sender{ctx: ctx, o: o, log: log, link: link.New(ctx, link.Dialer(o.network, o.address, conf, connectBound))}
	if o.async {
		return s, nil
	}
	return s, s.link.Connect()
}

// Send sends an entry, again and again until the server has it or the retries are
// used up.
func (s *Sender) Send(m *record.Message) error {
	if s.o.reconnect > 0 && s.o.async && s.link.Connected() && s.link.Age() > s.o.reconnect {
		s.link.Close() // the name may lead elsewhere by now
	}
	chunk := ""
	if s.o.ack {
		var id [16]byte
		_, _ = rand.Read(id[:]) // never fails
		chunk = base64.StdEncoding.EncodeToString(id[:])
	}
	s.encode(m, chunk)
	for range s.o.retries {
		if err := s.connect(); err != nil {
			return err
		}
		if s.link.Write(s.buf, s.o.writeTimeout) == nil && (chunk == "" || s.acknowledged(chunk)) {
			return nil
		}
		s.link.Close()
		if s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
	}
	return fmt.Errorf("fluent#write: failed to write after %d attempts", s.o.retries)
}

// connect tries with growing pauses.
func (s *Sender) connect() error {
	wait := s.o.retryWait
	for range s.o.retries {
		err := s.link.Connect()
		if err == nil {
			return nil
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-s.ctx.Done():
			t.Stop()
			return errors.Join(context.Cause(s.ctx), err)
		}
		wait = min(wait+wait/2, maxRetryWait)
	}
	return fmt.Errorf("fluent#write: could not connect to fluentd after %d retries", s.o.retries)
}

// acknowledged waits for the server's answer to a chunk.
func (s *Sender) acknowledged(chunk string) bool {
	var answer []byte
	for len(answer) < maxAnswer {
		var b [256]byte
		n, err := s.link.Read(b[:], s.o.readTimeout)
		if answer = append(answer, b[:n]...); err != nil {
			return false
		}
		if got, whole, err := decodeAck(answer); err != nil {
			return false
		} else if whole {
			return got == chunk
		}
	}
	return false
}

// encode makes s.buf: an array of tag, time, record and option.
func (s *Sender) encode(m *record.Message, chunk string) {
	b := appendArray(s.buf[:0], 4)
	b = appendString(b, s.log.Tag)
	if s.o.subSecond {
		b = appendEventTime(b, m.Time)
	} else {
		b = appendUint(b, uint64(max(0, m.Time.Unix()))) //nolint:gosec // not negative
	}
	data := map[string]string{
		"container_id": s.log.ID, "container_name": "/" + s.log.Name, "source": m.Source,
		"log": strings.TrimSuffix(string(m.Line), "\n"),
	}
	maps.Copy(data, s.log.Attrs)
	if p := m.Partial; p != nil {
		data["partial_message"], data["partial_id"] = "true", p.ID
		data["partial_ordinal"], data["partial_last"] = strconv.Itoa(p.Ordinal), strconv.FormatBool(p.Last)
	}
	b = appendMap(b, len(data))
	for k, v := range data {
		b = appendString(appendString(b, k), v)
	}
	if chunk == "" {
		s.buf = appendMap(b, 0)
		return
	}
	s.buf = appendString(appendString(appendMap(b, 1), "chunk"), chunk)
}

// Close closes the connection.
func (s *Sender) Close() error {
	s.link.Close()
	return nil
}
