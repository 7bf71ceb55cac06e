package streams

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// scheme marks the values of a task's Stdin, Stdout and Stderr that are ours. It
// has no "//": the rest is opaque, and no path or host to other readers.
const scheme = "berth:"

// maxURI bounds what ParseURI decodes. containerd's messages end at 4 MiB, and
// the URI stands up to three times in one.
const maxURI = 1 << 20

// Config says what the shim does with the streams of one process.
type Config struct {
	ID        string // container
	Exec      string `json:",omitempty"` // exec ID; "" = the container's init process
	Socket    string // absolute path where the container's streams are served; an exec has its container's
	Tty       bool   `json:",omitempty"`
	Stdin     bool   `json:",omitempty"` // stdin is open
	StdinOnce bool   `json:",omitempty"` // stdin closes when the first client that may send to it half-closes
	Log       Log    // ignored for execs
	// Limit, of an exec, is how long it may run before it is killed, with all of
	// its session; 0 is for ever.
	Limit time.Duration `json:",omitempty"`
	// Names, of a container, is nil where it asks name servers itself.
	Names *Names `json:",omitempty"`
}

// Names says how names are answered inside a container.
type Names struct {
	NetNS   string   // absolute path of its network namespace
	View    string   // absolute path of what package records says of the container
	Servers []Server `json:",omitempty"` // that are asked for other names, in this order
	Ndots   bool     `json:",omitempty"` // names without a dot are not asked of them
}

// Server is a name server.
type Server struct {
	Addr netip.Addr
	Host bool `json:",omitempty"` // it is asked from the host's network namespace, not the container's
}

// String is the server as a comment in resolv.conf has it.
func (s Server) String() string {
	if s.Host {
		return fmt.Sprintf("host(%s)", s.Addr)
	}
	return s.Addr.String()
}

// Log names a container's log and how it is kept.
type Log struct {
	Driver  string            `json:",omitempty"` // of package logs; "" is "none"
	Path    string            `json:",omitempty"` // absolute path of the log file, or of the local copy of a log that is sent elsewhere
	Options map[string]string `json:",omitempty"` // Docker's log-opts
	Attrs   map[string]string `json:",omitempty"` // extra attributes (labels, env) of each line

	// What drivers that send a log elsewhere call the container.
	ID, Name, Image string `json:",omitempty"` // Name without a slash, Image as the user named it
	Tag             string `json:",omitempty"` // what the option tag comes to
}

// URI is c as the value that a task's Stdin, Stdout and Stderr take.
func URI(c Config) string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings, bools and maps of strings always encode
	}
	return scheme + base64.RawURLEncoding.EncodeToString(b)
}

// ParseURI is the inverse of URI. ok is false, without an error, when s is not a
// berth: URI but some other client's FIFO, file or logger. InvalidArgument: it is
// one and cannot be used.
func ParseURI(s string) (c Config, ok bool, err error) {
	rest, ok := strings.CutPrefix(s, scheme)
	if !ok {
		return Config{}, false, nil
	}
	if len(s) > maxURI {
		return Config{}, true, fmt.Errorf("stream URI of %d bytes: %w", len(s), errdefs.ErrInvalidArgument)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil {
		return Config{}, true, fmt.Errorf("stream URI: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return Config{}, true, fmt.Errorf("stream URI: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if err := c.validate(); err != nil {
		return Config{}, true, fmt.Errorf("stream URI: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	return c, true, nil
}

func (c *Config) validate() error {
	switch {
	case c.ID == "":
		return fmt.Errorf("no container ID")
	case !cleanAbs(c.Socket):
		return fmt.Errorf("socket %q is no clean absolute path", c.Socket)
	case c.Log.Path != "" && !cleanAbs(c.Log.Path):
		return fmt.Errorf("log path %q is no clean absolute path", c.Log.Path)
	case c.Names != nil && (!cleanAbs(c.Names.NetNS) || !cleanAbs(c.Names.View)):
		return fmt.Errorf("names of %q and %q: no clean absolute paths", c.Names.NetNS, c.Names.View)
	}
	return nil
}

func cleanAbs(p string) bool {
	return filepath.IsAbs(p) && filepath.Clean(p) == p && p != "/" && !strings.ContainsRune(p, 0)
}
