package integration

import (
	"context"
	"os"
	"testing"

	"github.com/berth-engine/berth/integration/golden"
	"github.com/berth-engine/berth/integration/harness"
)

// TestSameAnswers asks Debian's dockerd and berthd the same questions, in each
// version of the API that both speak and that clients of its time use. A difference
// that golden/testdata/differences.txt has no reason for fails the test, and so
// does a reason that nothing needs any more.
func TestSameAnswers(t *testing.T) {
	t.Parallel()
	script := read(t, "golden/testdata/script.txt", func(f *os.File) ([]golden.Step, error) {
		return golden.Parse(f, map[string]string{"image": sample})
	})
	rules := read(t, "golden/testdata/differences.txt", func(f *os.File) (golden.Rules, error) { return golden.ParseRules(f) })
	docker := harness.StartDockerd(t, harness.NewOtherHost(t))
	berth := harness.Start(t, harness.Options{})
	for _, version := range []string{"1.41", "1.40"} {
		a := &golden.Engine{Name: "dockerd", Socket: docker.Socket(), Root: docker.Root()}
		b := &golden.Engine{Name: "berthd", Socket: berth.Socket, Root: berth.Root}
		all, err := golden.Compare(context.Background(), a, b, version, script)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			if !rules.Allows(d) {
				t.Errorf("%s", d)
			}
		}
	}
	if t.Failed() {
		return
	}
	for _, r := range rules.Unused() {
		t.Errorf("differences.txt:%d: nothing differs so any more: %s", r.Line, r.Reason)
	}
}

func read[T any](t *testing.T, name string, parse func(*os.File) (T, error)) T {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := parse(f)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}
