// Package version says which Berth this is. The linker sets the values
// (make build); a plain go build leaves the defaults.
package version

// Set by -ldflags -X.
var (
	Version = "0.1.0-dev"
	Commit  = "unknown"
	Built   = "unknown" // RFC 3339
)

// API versions that are served. Docker Engine 29 names MaxAPI as its own; 1.24
// is the oldest that its clients still ask for.
const (
	MaxAPI = "1.55"
	MinAPI = "1.24"
)
