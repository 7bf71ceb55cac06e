package syslog

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// facilities by their number (RFC 5424, 6.2.1).
var facilities = [...]string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	16: "local0", 17: "local1", 18: "local2", 19: "local3", 20: "local4", 21: "local5", 22: "local6", 23: "local7",
}

const facilityDaemon = 3

type options struct {
	network, address string // "" is this machine's server
	tls, skipVerify  bool
	ca, cert, key    string // files
	facility         int
	format           string
}

// Validate checks the driver's own log-opts. All errors are InvalidArgument.
func Validate(opts map[string]string) error {
	for k := range opts {
		switch k {
		case "env", "env-regex", "labels", "labels-regex", "tag", "syslog-address", "syslog-facility", "syslog-format",
			"syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify":
		default:
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unknown log opt '%s' for syslog log driver", k))
		}
	}
	if _, err := parse(opts); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return nil
}

func parse(opts map[string]string) (o options, err error) {
	o.ca, o.cert, o.key = opts["syslog-tls-ca-cert"], opts["syslog-tls-cert"], opts["syslog-tls-key"]
	_, o.skipVerify = opts["syslog-tls-skip-verify"] // whatever it says, in Docker too
	if err = o.parseAddress(opts["syslog-address"]); err != nil {
		return o, err
	}
	if o.facility, err = parseFacility(opts["syslog-facility"]); err != nil {
		return o, err
	}
	switch o.format = opts["syslog-format"]; o.format {
	case "", "rfc3164", "rfc5424", "rfc5424micro":
		return o, nil
	}
	return o, errors.New("invalid syslog format")
}

func (o *options) parseAddress(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	switch u.Scheme {
	case "unix", "unixgram":
		o.network, o.address = u.Scheme, u.Path
		_, err := os.Stat(u.Path)
		return err
	case "tcp+tls":
		o.tls = true
		o.network = "tcp"
	case "tcp", "udp":
		o.network = u.Scheme
	default:
		return fmt.Errorf("unsupported scheme: '%s'", u.Scheme)
	}
	o.address = u.Host
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		if !strings.Contains(err.Error(), "missing port in address") {
			return err
		}
		o.address = net.JoinHostPort(u.Host, "514")
	}
	return nil
}

func parseFacility(s string) (int, error) {
	if s == "" {
		return facilityDaemon, nil
	}
	for i, name := range facilities {
		if name == s {
			return i, nil
		}
	}
	if n, err := strconv.Atoi(s); err == nil && 0 <= n && n < len(facilities) {
		return n, nil
	}
	return 0, errors.New("invalid syslog facility")
}
