package integration

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
)

// TestStorm kills the daemon at moments that nobody chose while clients work on
// containers. Whatever a client was told stays true, whatever it was not told
// can be removed, and nothing is left in the end.
func TestStorm(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	const rounds, workers = 6, 4
	var (
		mu      sync.Mutex // guards running
		running = map[string]bool{}
	)
	for round := range rounds {
		dead := make(chan struct{})
		var clients sync.WaitGroup
		for w := range workers {
			clients.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-dead:
						return
					default:
					}
					name := fmt.Sprintf("c%d.%d.%d", round, w, n)
					told := d.Berth("run", "-d", "--name", name, "-p", "127.0.0.1::80", image, "sleep", "1000").Code == 0
					if n%2 == 1 {
						d.Berth("rm", "-f", name)
					} else if told {
						mu.Lock()
						running[name] = true
						mu.Unlock()
					}
				}
			})
		}
		// Any moment will do: this varies it.
		time.Sleep(time.Duration(200+170*round) * time.Millisecond)
		d.Kill()
		close(dead)
		clients.Wait()
		d.Run()
		now := strings.Fields(d.Berth("ps", "--format", "{{.Names}}").OK(t))
		for name := range running {
			if got := d.Berth("exec", name, "echo", "alive"); got.Stdout != "alive\n" {
				t.Errorf("round %d: %s was told to run; now exec gives %q, and %q run", round, name, got.Stderr, now)
				delete(running, name)
			}
		}
	}
	ids := strings.Fields(d.Berth("ps", "-aq").OK(t))
	d.Berth(append([]string{"rm", "-f"}, ids...)...).OK(t)
	awaitClean(t, d)
}
