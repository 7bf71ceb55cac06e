package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// sampleBuild is a Dockerfile of the corpus. Comments in it say what is to come
// of it:
//
//	# flags: further ones of build; $CONTEXT is its folder
//	# only: builders that have what it needs; without it all
//	# want: what the image writes when it is run
//	# inspect: TEMPLATE = what it gives
//	# error: a part of the message, or several with | between
type sampleBuild struct {
	dir                  string
	flags, only          []string
	want, inspect, fault string
}

func readSample(t *testing.T, dir string) sampleBuild {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	s := sampleBuild{dir: dir}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "# "), ": ")
		switch key {
		case "flags":
			s.flags = strings.Fields(strings.ReplaceAll(value, "$CONTEXT", dir))
		case "only":
			s.only = strings.Fields(value)
		case "want":
			s.want = value
		case "inspect":
			s.inspect = value
		case "error":
			s.fault = value
		}
	}
	if s.want == "" && s.inspect == "" && s.fault == "" {
		t.Fatalf("%s does not say what is to come of it", dir)
	}
	return s
}

// TestCorpus builds each Dockerfile of testdata/dockerfiles with every builder,
// and runs what comes of it.
func TestCorpus(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob("testdata/dockerfiles/*")
	if err != nil || len(dirs) < 30 {
		t.Fatalf("%d Dockerfiles: %v", len(dirs), err)
	}
	for _, builder := range harness.Builders {
		t.Run(builder, func(t *testing.T) {
			t.Parallel()
			d := start(t, harness.Options{})
			for _, dir := range dirs {
				s := readSample(t, dir)
				if len(s.only) > 0 && !slices.Contains(s.only, builder) {
					continue
				}
				t.Run(filepath.Base(dir), func(t *testing.T) { s.check(t, d, builder) })
			}
			if left := stepsLeft(d); len(left) > 0 {
				t.Errorf("left of the builds: %q", left)
			}
		})
	}
}

func (s sampleBuild) check(t *testing.T, d *harness.Daemon, builder string) {
	const name = "corpus:built"
	r := d.Build(builder, nil, append(append([]string{"-t", name}, s.flags...), s.dir)...)
	if s.fault != "" {
		if told := r.Stdout + r.Stderr; r.Code == 0 || !regexp.MustCompile(s.fault).MatchString(told) {
			t.Errorf("exit code %d, want a failure that names %s:\n%s", r.Code, s.fault, told)
		}
		return
	}
	r.OK(t)
	if template, want, ok := strings.Cut(s.inspect, " = "); ok {
		if got := d.Berth("image", "inspect", "-f", template, name).OK(t); got != want {
			t.Errorf("inspect: %s\nwant:    %s", got, want)
		}
	}
	if s.want != "" {
		if got := d.Berth("run", "--rm", "--network=none", name).OK(t); got != s.want {
			t.Errorf("it writes %q, want %q", got, s.want)
		}
	}
}

// stepsLeft are bundles of steps that run or were left.
func stepsLeft(d *harness.Daemon) (left []string) {
	entries, _ := os.ReadDir(filepath.Join(d.Data(), "build", "executor"))
	for _, e := range entries {
		if e.IsDir() {
			left = append(left, e.Name())
		}
	}
	return left
}
