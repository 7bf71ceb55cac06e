package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/streams"
)

// BenchmarkRun is a container's life on the hot path of `run`, step by step.
func BenchmarkRun(b *testing.B) {
	r := bench.rt
	events := r.Events(b.Context())
	took := map[string]time.Duration{}
	step := func(name string, do func() error) {
		start := time.Now()
		if err := do(); err != nil {
			b.Fatal(err)
		}
		took[name] += time.Since(start)
	}
	n := 0
	for b.Loop() {
		n++
		id := fmt.Sprintf("brt-%d-bench-%d", os.Getpid(), n)
		step("1-snapshot", func() error { return r.CreateRootfs(b.Context(), id, base) })
		step("2-create", func() error {
			out := streams.URI(streams.Config{ID: id, Socket: filepath.Join(bench.dir, id+".sock"), Log: streams.Log{Driver: "none"}})
			return r.CreateTask(b.Context(), TaskConfig{ID: id, Spec: testSpec(id, "true"), IO: IO{Stdout: out, Stderr: out}})
		})
		step("3-start", func() error { _, err := r.StartTask(b.Context(), id); return err })
		step("4-exit", func() error {
			for e := range events {
				if e.Kind == KindExit && e.ID == id {
					break
				}
			}
			return nil
		})
		step("5-delete", func() error { _, err := r.DeleteTask(b.Context(), id); return err })
		step("6-remove", func() error {
			if err := r.RemoveContainer(b.Context(), id); err != nil {
				return err
			}
			return r.RemoveRootfs(b.Context(), id)
		})
	}
	for name, d := range took {
		b.ReportMetric(float64(d.Microseconds())/1000/float64(n), name+"-ms")
	}
}
