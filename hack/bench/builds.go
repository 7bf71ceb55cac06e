package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// buildCase measures builds: many steps with and without the cache, stages that
// can run side by side, and a large context that is new each time.
func buildCase(o options) benchCase {
	var steps, stages, data string // made for the first engine
	return benchCase{name: "build", rounds: max(1, o.rounds/3), warmup: true,
		before: func(ctx context.Context, e *engine) (err error) {
			if steps != "" {
				return nil
			}
			steps, stages, data, err = buildContexts(e.config)
			return err
		},
		sample: func(ctx context.Context, e *engine, add adder) error {
			for _, b := range []struct {
				figure string
				args   []string
			}{
				{"build, 20 steps, cold (ms)", []string{"--no-cache", steps}},
				{"build, 20 steps, cached (ms)", []string{steps}},
				{"build, 4 stages side by side, cold (ms)", []string{"--no-cache", stages}},
			} {
				_, took, err := e.run(ctx, append([]string{"build", "-q", "-t", prefix + "built"}, b.args...)...)
				if err != nil {
					return err
				}
				add(b.figure, ms(took))
			}
			if err := fill(filepath.Join(data, "data"), o.contextMiB); err != nil {
				return err
			}
			_, took, err := e.run(ctx, "build", "-q", "-t", prefix+"built", data)
			add(fmt.Sprintf("build, %d MiB context (ms)", o.contextMiB), ms(took))
			return err
		},
		after: func(ctx context.Context, e *engine) error {
			if err := e.do(ctx, "rmi", "-f", prefix+"built"); err != nil {
				return err
			}
			return e.do(ctx, "builder", "prune", "-af")
		}}
}

func buildContexts(parent string) (steps, stages, data string, err error) {
	var long, wide strings.Builder
	fmt.Fprintf(&long, "FROM %s\n", image)
	for i := range 20 {
		fmt.Fprintf(&long, "RUN echo %d >/file%d\n", i, i)
	}
	for i := range 4 {
		fmt.Fprintf(&wide, "FROM %s AS stage%d\nRUN echo %d >/a\nRUN echo %d >/b\nRUN echo %d >/c\n", image, i, i, i, i)
	}
	fmt.Fprintf(&wide, "FROM %s\n", image)
	for i := range 4 {
		fmt.Fprintf(&wide, "COPY --from=stage%d /c /c%d\n", i, i)
	}
	for name, text := range map[string]string{"steps": long.String(), "stages": wide.String(), "data": "FROM " + image + "\nCOPY data /data\n"} {
		dir := filepath.Join(parent, "build", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", "", "", err
		}
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644); err != nil {
			return "", "", "", err
		}
	}
	dir := func(name string) string { return filepath.Join(parent, "build", name) }
	return dir("steps"), dir("stages"), dir("data"), nil
}

// fill writes files that nobody has seen before, half of them compressible.
func fill(dir string, mib int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	piece := make([]byte, 1<<20)
	for i := range mib {
		if _, err := rand.Read(piece[:len(piece)/2]); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), piece, 0o644); err != nil {
			return err
		}
	}
	return nil
}
