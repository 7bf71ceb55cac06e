package files

import (
	"io"
	"time"

	"github.com/berth-engine/berth/pkg/logs/record"
)

// Format is how the entries of a log stand in its files. One value is for one
// writer or one reader, and may remember what neighbouring entries share.
type Format interface {
	// Append appends m as an entry.
	Append(dst []byte, m *record.Message) []byte
	// Next finds the first entry of p, which ends n bytes on. n is 0 when p has no
	// complete one. An entry of nil is damage to be passed over.
	Next(p []byte) (entry []byte, n int)
	// Decode reads an entry that Next found. The message is valid until the next call.
	Decode(entry []byte) (*record.Message, error)
	// Tail finds where the last n entries in the first size bytes of f begin, and how
	// many of them there are. What is incomplete at the end is no entry.
	Tail(f io.ReaderAt, size int64, n int) (off int64, found int, err error)
	// End finds where the last complete entry in the first size bytes of f ends.
	End(f io.ReaderAt, size int64) (int64, error)
}

// Seeker is a Format that finds entries by their time without reading those before.
type Seeker interface {
	// Seek finds an entry in the first size bytes of f, at or after from, before
	// which there is none of since or later, as far as clocks go forward.
	Seek(f io.ReaderAt, from, size int64, since time.Time) (int64, error)
}

// MaxEntry bounds an entry in a file: a line of record.MaxLine in which each byte
// is escaped, and the attributes. Longer ones are damage.
const MaxEntry = 2 << 20

// BlockSize is what is read at once.
const BlockSize = 64 << 10
