package exec

import (
	"testing"

	"github.com/berth-engine/berth/pkg/api"
)

func TestConsoleSize(t *testing.T) {
	size := &[2]uint{24, 80}
	for _, c := range []struct {
		tty  bool
		at   uint16
		want *[2]uint
	}{{true, 42, size}, {true, 41, nil}, {false, 55, nil}} {
		if got := consoleSize(size, c.tty, api.V1(c.at)); got != c.want {
			t.Errorf("1.%d, terminal %v: %v", c.at, c.tty, got)
		}
	}
}
