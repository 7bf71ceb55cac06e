package client

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// told is a writer that tells of each write.
type told chan string

func (c told) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

func TestGatherer(t *testing.T) {
	writes := make(told, 10)
	g := &gatherer{w: writes, on: true}
	write := func(s string) {
		t.Helper()
		if n, err := g.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	write("a")
	if got := <-writes; got != "a" { // by and by
		t.Errorf("%q", got)
	}
	write(strings.Repeat("b", gatherSize))
	select {
	case got := <-writes: // at once
		if len(got) != gatherSize {
			t.Errorf("%d bytes", len(got))
		}
	default:
		t.Error("nothing was written")
	}
	write("c")
	if err := g.flush(); err != nil || <-writes != "c" {
		t.Error(err)
	}
}

// TestGathererKeepsOrder: both outputs into one file.
func TestGathererKeepsOrder(t *testing.T) {
	var file bytes.Buffer
	out := &gatherer{w: &file, on: true}
	err := after{out, &file}
	want := ""
	for range 100 {
		_, _ = out.Write([]byte("out\n"))
		_, _ = err.Write([]byte("err\n"))
		want += "out\nerr\n"
	}
	if file.String() != want {
		t.Errorf("%q", file.String())
	}
}

func TestGathererTellsOfErrors(t *testing.T) {
	boom := errors.New("boom")
	g := &gatherer{w: failing{boom}, on: true}
	if _, err := g.Write(make([]byte, gatherSize)); !errors.Is(err, boom) {
		t.Error(err)
	}
	if _, err := g.Write([]byte("x")); !errors.Is(err, boom) {
		t.Error(err)
	}
	if _, err := (after{g, g}).Write(nil); !errors.Is(err, boom) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
