package dump

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestRead(t *testing.T) {
	broken := errors.New("broken")
	interrupted := fmt.Errorf("links: %w", netlink.ErrDumpInterrupted)
	for _, c := range []struct {
		name  string
		fails func(read int) error
		want  []int
		err   error
	}{
		{"at once", func(int) error { return nil }, []int{1}, nil},
		{"the third time", func(n int) error {
			if n < 3 {
				return interrupted
			}
			return nil
		}, []int{3}, nil},
		{"never whole", func(int) error { return interrupted }, []int{attempts}, nil},
		{"another error", func(int) error { return broken }, []int{1}, broken},
	} {
		n := 0
		got, err := Read(func() ([]int, error) { n++; return []int{n}, c.fails(n) })
		if !slices.Equal(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, got, err, c.want, c.err)
		}
	}
}
