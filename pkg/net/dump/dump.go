// Package dump reads lists from the kernel by netlink on a host where others
// change links, addresses and routes meanwhile. The kernel marks a list that
// changed while it was read (NLM_F_DUMP_INTR): it may lack what was there all
// the time. Containers that come and go make that an everyday event.
package dump

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// attempts is how often a list is read. A change must fall into the
// microseconds of the read to matter, so that the second is nearly always good.
const attempts = 16

// Read gives what list lists, read again while it is interrupted. On a host
// that never rests it is the last reading: a list that lacks the newest serves
// better than none.
func Read[T any](list func() ([]T, error)) (out []T, err error) {
	for range attempts {
		out, err = list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return out, nil
}
