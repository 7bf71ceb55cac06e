package fluentd

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	units "github.com/docker/go-units"
)

const (
	defaultHost = "127.0.0.1"
	defaultPort = "24224"
	// defaultRetries is for ever: the pauses between them are up to a minute.
	defaultRetries   = math.MaxInt32
	defaultRetryWait = time.Second
	// libraryRetries is what Docker's 0 comes to in the library that it uses.
	libraryRetries = 13

	minReconnect = 100 * time.Millisecond
	maxReconnect = 10 * time.Second
)

// options are Docker's, parsed.
type options struct {
	network, address          string
	tls                       bool
	async                     bool
	reconnect                 time.Duration // of an async connection's life; 0 is no bound
	bufferLimit               int           // entries, when async
	retries                   int
	retryWait                 time.Duration // before the second attempt; grows by half each time
	ack, subSecond            bool
	writeTimeout, readTimeout time.Duration // 0 is none
}

// Validate checks the driver's own log-opts. All errors are InvalidArgument.
func Validate(opts map[string]string) error {
	for k := range opts {
		switch k {
		case "env", "env-regex", "labels", "labels-regex", "tag", "fluentd-address", "fluentd-async",
			"fluentd-async-reconnect-interval", "fluentd-buffer-limit", "fluentd-max-retries", "fluentd-request-ack",
			"fluentd-retry-wait", "fluentd-sub-second-precision", "fluentd-write-timeout", "fluentd-read-timeout":
		default:
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unknown log opt '%s' for fluentd log driver", k))
		}
	}
	if _, err := parse(opts); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return nil
}

// Async reports whether valid log-opts ask for entries to be sent beside the
// container, and how many may wait.
func Async(opts map[string]string) (limit int, ok bool) {
	o, err := parse(opts)
	return o.bufferLimit, err == nil && o.async
}

func parse(opts map[string]string) (options, error) {
	o := options{bufferLimit: 1 << 20, retries: defaultRetries, retryWait: defaultRetryWait}
	if err := o.parseAddress(opts["fluentd-address"]); err != nil {
		return o, fmt.Errorf("invalid fluentd-address (%s): %w", opts["fluentd-address"], err)
	}
	if s := opts["fluentd-buffer-limit"]; s != "" {
		n, err := units.RAMInBytes(s)
		if err != nil {
			return o, err
		}
		o.bufferLimit = int(n)
	}
	if s := opts["fluentd-retry-wait"]; s != "" {
		var err error
		if o.retryWait, err = time.ParseDuration(s); err != nil {
			return o, err
		}
	}
	if s := opts["fluentd-max-retries"]; s != "" {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return o, err
		}
		if n > math.MaxInt32 {
			return o, errors.New("invalid fluentd-max-retries: value out of range")
		}
		if o.retries = int(n); n == 0 {
			o.retries = libraryRetries
		}
	}
	for key, to := range map[string]*bool{
		"fluentd-async": &o.async, "fluentd-sub-second-precision": &o.subSecond, "fluentd-request-ack": &o.ack,
	} {
		if s := opts[key]; s != "" {
			var err error
			if *to, err = strconv.ParseBool(s); err != nil {
				return o, err
			}
		}
	}
	return o, o.parseTimes(opts)
}

func (o *options) parseTimes(opts map[string]string) error {
	for key, to := range map[string]*time.Duration{"fluentd-write-timeout": &o.writeTimeout, "fluentd-read-timeout": &o.readTimeout} {
		s := opts[key]
		if s == "" {
			continue
		}
		var err error
		if *to, err = time.ParseDuration(s); err != nil {
			return fmt.Errorf("invalid value for %s: value must be a duration: %w", key, err)
		}
		if *to < 0 {
			return fmt.Errorf("invalid value for %s: value must be a duration that is non-negative", key)
		}
	}
	const key = "fluentd-async-reconnect-interval"
	if s := opts[key]; s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("invalid value for %s: %w", key, err)
		}
		if d != 0 && (d < minReconnect || d > maxReconnect) {
			return fmt.Errorf("invalid value for %s: value (%q) must be between %s and %s", key, d, minReconnect, maxReconnect)
		}
		o.reconnect = d
	}
	return nil
}

func (o *options) parseAddress(address string) error {
	if !strings.Contains(address, "://") {
		address = "tcp://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	switch u.Scheme {
	case "unix":
		if strings.TrimLeft(u.Path, "/") == "" {
			return errors.New("path is empty")
		}
		o.network, o.address = "unix", u.Path
		return nil
	case "tcp", "tls":
		o.network, o.tls = "tcp", u.Scheme == "tls"
	default:
		return fmt.Errorf("unsupported scheme: '%s'", u.Scheme)
	}
	if u.Path != "" {
		return errors.New("should not contain a path element")
	}
	host, port := defaultHost, defaultPort
	if h := u.Hostname(); h != "" {
		host = h
	}
	if p := u.Port(); p != "" {
		if _, err := strconv.ParseUint(p, 10, 16); err != nil {
			return fmt.Errorf("invalid port: %w", err)
		}
		port = p
	}
	o.address = net.JoinHostPort(host, port)
	return nil
}
