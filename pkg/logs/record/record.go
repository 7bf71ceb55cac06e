// Package record is what a log holds, whatever the driver that keeps it. It is a
// leaf, so that drivers and package logs can both speak of the same types.
package record

import "time"

// MaxLine is where Docker splits longer lines, in bytes of what the container wrote.
const MaxLine = 16 << 10

// Message is one entry of a log: a line, or a part of one longer than MaxLine.
type Message struct {
	Line    []byte    // with its newline, when it had one
	Source  string    // "stdout" or "stderr"
	Time    time.Time // when the container wrote it, UTC
	Attrs   map[string]string
	Partial *Partial // of a line in parts; known to who writes only
}

// Partial says which part of a line an entry is.
type Partial struct {
	ID      string // the parts of one line share it
	Ordinal int    // from 1
	Last    bool
}

// ReadOptions says which entries are read, and for how long.
type ReadOptions struct {
	Since, Until   time.Time // inclusive; zero is no bound
	Tail           int       // the last n entries of the log before other filters, as Docker counts; -1 is all
	Follow         bool      // go on with what is written later
	Stdout, Stderr bool
	Done           <-chan struct{} // closed when no more will be written: Follow reads to the end and stops
	CaughtUp       func() error    // called when Follow has given all that there is, before it waits for more; may be nil
}

// Wants reports whether entries of source are asked for.
func (o *ReadOptions) Wants(source string) bool {
	switch source {
	case "stdout":
		return o.Stdout
	case "stderr":
		return o.Stderr
	}
	return true
}
