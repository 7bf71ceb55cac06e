// Package syslog sends a log to a syslog server, in the forms and with the options
// of Docker's driver of that name.
package syslog

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/berth-engine/berth/pkg/logs/link"
	"github.com/berth-engine/berth/pkg/logs/record"
	"github.com/berth-engine/berth/pkg/streams"
)

const (
	// connectBound is for one attempt: a server that does not even refuse must not
	// keep a start waiting for minutes.
	connectBound = 10 * time.Second
	// pause is how long no attempt follows one that failed. What is printed
	// meanwhile is lost to the server, as it is in Docker, but quicker.
	pause = time.Second
)

// Severities (RFC 5424, 6.2.1).
const (
	severityErr  = 3
	severityInfo = 6
)

// Sender sends entries to one server.
type Sender struct {
	o      options
	tag    string
	host   string
	link   *link.Link
	failed time.Time // of the last attempt to connect, zero if it did not fail
	why    error
	buf    []byte
	frame  []byte
}

// Open connects to the server that log's options name. ctx is for as long as the
// sender is used.
func Open(ctx context.Context, log streams.Log) (*Sender, error) {
	o, err := parse(log.Options)
	if err != nil {
		return nil, err
	}
	s := &Sender{o: o, tag: log.Tag}
	if s.host, err = os.Hostname(); err != nil {
		return nil, err
	}
	dial := dialLocal
	if o.network != "" {
		var conf *tls.Config
		if o.tls {
			if conf, err = o.tlsConfig(); err != nil {
				return nil, err
			}
		}
		dial = link.Dialer(o.network, o.address, conf, connectBound)
	}
	s.link = link.New(ctx, dial)
	return s, s.link.Connect()
}

// dialLocal tries where syslog servers listen for their own machine.
func dialLocal(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	for _, network := range [...]string{"unixgram", "unix"} {
		for _, path := range [...]string{"/dev/log", "/var/run/syslog", "/var/run/log"} {
			if conn, err := d.DialContext(ctx, network, path); err == nil {
				return conn, nil
			}
		}
	}
	return nil, errors.New("unix syslog delivery error")
}

func (o *options) tlsConfig() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.skipVerify} //nolint:gosec // the user's choice
	if o.ca != "" && !o.skipVerify {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, fmt.Errorf("could not read CA certificate %q: %w", o.ca, err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("failed to append certificates from PEM file: %q", o.ca)
		}
	}
	if o.cert != "" || o.key != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, fmt.Errorf("could not load X509 key pair: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// Send sends an entry, and tries once more over a new connection. It waits as long
// as a server that is there does not take it.
func (s *Sender) Send(m *record.Message) error {
	line := bytes.TrimSuffix(m.Line, []byte{'\n'})
	if len(line) == 0 {
		return nil // as Docker
	}
	s.encode(m, line)
	if s.link.Connected() && s.link.Write(s.frame, 0) == nil {
		return nil
	}
	if time.Since(s.failed) < pause {
		return s.why
	}
	if err := s.link.Connect(); err != nil {
		s.failed, s.why = time.Now(), err
		return err
	}
	s.failed = time.Time{}
	return s.link.Write(s.frame, 0)
}

// encode makes s.frame: each message ends in a newline, on whatever transport.
func (s *Sender) encode(m *record.Message, line []byte) {
	priority := s.o.facility<<3 | severityInfo
	if m.Source == "stderr" {
		priority = s.o.facility<<3 | severityErr
	}
	at, pid := m.Time.Local(), os.Getpid()
	b := append(s.buf[:0], '<')
	b = append(strconv.AppendInt(b, int64(priority), 10), '>')
	switch s.o.format {
	case "rfc5424", "rfc5424micro":
		layout := time.RFC3339
		if s.o.format == "rfc5424micro" {
			layout = "2006-01-02T15:04:05.000000Z07:00"
		}
		b = at.AppendFormat(append(b, "1 "...), layout)
		b = fmt.Appendf(b, " %s %s %d %s - ", s.host, s.tag, pid, s.tag)
	case "rfc3164":
		b = at.AppendFormat(b, time.Stamp)
		b = fmt.Appendf(b, " %s %s[%d]: ", s.host, s.tag, pid)
	default: // what syslog(3) sends: no host
		b = at.AppendFormat(b, time.Stamp)
		b = fmt.Appendf(b, " %s[%d]: ", s.tag, pid)
	}
	b = append(append(b, line...), '\n')
	s.buf, s.frame = b, b
	if s.o.tls && s.o.format != "" && s.o.format != "rfc3164" { // RFC 5425, 4.3
		s.frame = append(fmt.Appendf(nil, "%d ", len(b)), b...)
	}
}

// Close closes the connection.
func (s *Sender) Close() error {
	s.link.Close()
	return nil
}
