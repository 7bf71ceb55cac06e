package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// filesCase moves one large file and many small ones in and out of a container, and
// makes an archive, an image and volumes of them. tar, which reads and writes the same
// files in two processes with a pipe between them, stands beside for comparison.
func filesCase(o options, dir string) benchCase {
	name, snap := prefix+"files", prefix+"files"
	trees := []tree{
		{"large", fmt.Sprintf("1 file of %d MiB", o.fileMiB), func(at string) error { return writeLarge(at, o.fileMiB) }},
		{"small", fmt.Sprintf("%d files of 500 bytes", o.files), func(at string) error { return writeSmall(at, o.files) }},
	}
	made := false
	return benchCase{name: "files: cp, export, commit, copy-up", rounds: max(1, o.rounds/5),
		before: func(ctx context.Context, e *engine) error {
			for _, t := range trees {
				if err := t.make(dir, made); err != nil {
					return err
				}
			}
			made = true
			return nil
		},
		sample: func(ctx context.Context, e *engine, add adder) error {
			if err := e.do(ctx, "run", "-d", "--name", name, image, "sleep", "3600"); err != nil {
				return err
			}
			for _, t := range trees {
				if err := t.sample(ctx, e, dir, name, add); err != nil {
					return err
				}
			}
			took, err := e.discard(ctx, "export", name)
			if err != nil {
				return err
			}
			add("export of both (ms)", ms(took))
			if _, took, err = e.run(ctx, "commit", name, snap); err != nil {
				return err
			}
			add("commit of both (ms)", ms(took))
			for _, t := range trees {
				if _, took, err = e.run(ctx, "run", "--rm", "-v", "/"+t.name, snap, "true"); err != nil {
					return err
				}
				add("copy-up into a volume, "+t.what+" (ms)", ms(took))
			}
			return errors.Join(e.do(ctx, "rm", "-f", name), e.do(ctx, "rmi", snap))
		},
	}
}

type tree struct {
	name, what string
	fill       func(at string) error
}

func (t tree) make(dir string, made bool) error {
	if made {
		return nil
	}
	at := filepath.Join(dir, t.name)
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	return t.fill(at)
}

func (t tree) sample(ctx context.Context, e *engine, dir, container string, add adder) error {
	src, out := filepath.Join(dir, t.name), filepath.Join(dir, "out")
	_, took, err := e.run(ctx, "cp", src, container+":/"+t.name)
	if err != nil {
		return err
	}
	add("cp in, "+t.what+" (ms)", ms(took))
	if _, took, err = e.run(ctx, "cp", container+":/"+t.name, out); err != nil {
		return err
	}
	add("cp out, "+t.what+" (ms)", ms(took))
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if took, err = throughTar(ctx, dir, t.name, out); err != nil {
		return err
	}
	add("tar through a pipe, "+t.what+" (ms)", ms(took))
	return os.RemoveAll(out)
}

func throughTar(ctx context.Context, dir, name, out string) (time.Duration, error) {
	if err := os.Mkdir(out, 0o755); err != nil {
		return 0, err
	}
	began := time.Now()
	pack, unpack := exec.CommandContext(ctx, "tar", "-C", dir, "-cf", "-", name), exec.CommandContext(ctx, "tar", "-C", out, "-xf", "-")
	var err error
	if unpack.Stdin, err = pack.StdoutPipe(); err != nil {
		return 0, err
	}
	if err := pack.Start(); err != nil {
		return 0, err
	}
	err = unpack.Run()
	return time.Since(began), errors.Join(err, pack.Wait())
}

// writeLarge writes what does not compress.
func writeLarge(at string, mib int) error {
	f, err := os.Create(filepath.Join(at, "file"))
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{}), int64(mib)<<20)
	return errors.Join(err, f.Close())
}

// writeSmall writes a thousand a folder.
func writeSmall(at string, n int) error {
	content := make([]byte, 500)
	for i := range n {
		dir := filepath.Join(at, strconv.Itoa(i/1000))
		if i%1000 == 0 {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
