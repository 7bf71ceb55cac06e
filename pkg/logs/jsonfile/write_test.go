package jsonfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var at = time.Date(2026, 2, 3, 4, 5, 6, 789000000, time.UTC)

func open(t testing.TB, path string, opts, attrs map[string]string) *Driver {
	t.Helper()
	d, err := Open(path, opts, attrs)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func contents(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestFormat holds the bytes against what dockerd 20.10 and 29 write.
func TestFormat(t *testing.T) {
	const end = `"stream":"stdout","time":"2026-02-03T04:05:06.789Z"}` + "\n"
	for name, c := range map[string]struct {
		in    []string
		attrs map[string]string
		want  string
	}{
		"line":          {in: []string{"hi\n"}, want: `{"log":"hi\n",` + end},
		"joined":        {in: []string{"h", "i\nthere", "\n"}, want: `{"log":"hi\n",` + end + `{"log":"there\n",` + end},
		"empty line":    {in: []string{"\n"}, want: `{"log":"\n",` + end},
		"escapes":       {in: []string{"\"\\\t\r\x00\x7f<>&\n"}, want: `{"log":"\"\\\u0009\r\u0000` + "\x7f" + `\u003c\u003e\u0026\n",` + end},
		"unicode":       {in: []string{"ü\u2028\u2029€\n"}, want: `{"log":"ü\u2028\u2029€\n",` + end},
		"invalid UTF-8": {in: []string{"a\xffb\xc3\n"}, want: `{"log":"a\ufffdb\ufffd\n",` + end},
		"attributes": {
			in: []string{"x\n"}, attrs: map[string]string{"b": "2", "a": "1"},
			want: `{"log":"x\n","stream":"stdout","attrs":{"a":"1","b":"2"},"time":"2026-02-03T04:05:06.789Z"}` + "\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x-json.log")
			d := open(t, path, nil, c.attrs)
			for _, p := range c.in {
				if err := d.Write("stdout", at, []byte(p)); err != nil {
					t.Fatal(err)
				}
			}
			if got := contents(t, path); got != c.want {
				t.Errorf("got  %swant %s", got, c.want)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestLongLinesAreSplit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x-json.log")
	d := open(t, path, nil, nil)
	in := strings.Repeat("a", maxEntry) + strings.Repeat("b", 10) + "\n" + strings.Repeat("c", maxEntry-1) + "\ntail"
	for i, p := range []string{in[:100], in[100:20000], in[20000:]} {
		if err := d.Write("stderr", at.Add(time.Duration(i)*time.Second), []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		text string
		time time.Duration
	}{
		{strings.Repeat("a", maxEntry), time.Second},
		{strings.Repeat("b", 10) + "\n", time.Second}, // the time of its first part
		{strings.Repeat("c", maxEntry-1) + "\n", 2 * time.Second},
		{"tail", -1},
	}
	lines := strings.SplitAfter(strings.TrimSuffix(contents(t, path), "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d entries, want %d", len(lines), len(want))
	}
	for i, w := range want {
		var e struct {
			Log, Stream string
			Time        time.Time
		}
		if err := json.Unmarshal([]byte(lines[i]), &e); err != nil {
			t.Fatal(err)
		}
		if e.Log != w.text || e.Stream != "stderr" || w.time >= 0 && !e.Time.Equal(at.Add(w.time)) {
			t.Errorf("entry %d: %.20q of %d bytes at %v", i, e.Log, len(e.Log), e.Time)
		}
	}
}

func TestRotation(t *testing.T) {
	const line = `{"log":"00\n","stream":"stdout","time":"2026-02-03T04:05:06.789Z"}` + "\n"
	for name, c := range map[string]struct {
		opts map[string]string
		want map[string]string // file → number of its first line; all hold two
	}{
		"one file":   {map[string]string{"max-size": "100"}, map[string]string{"": "08"}},
		"three":      {map[string]string{"max-size": "100", "max-file": "3"}, map[string]string{"": "08", ".1": "06", ".2": "04"}},
		"compressed": {map[string]string{"max-size": "100", "max-file": "3", "compress": "true"}, map[string]string{"": "08", ".1.gz": "06", ".2.gz": "04"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "x-json.log")
			d := open(t, path, c.opts, nil)
			for i := range 10 {
				if err := d.Write("stdout", at, fmt.Appendf(nil, "%02d\n", i)); err != nil {
					t.Fatal(err)
				}
				d.pack.wait() // so that no rotation is put off
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			for ext, first := range c.want {
				f, err := openFile(path+ext, strings.HasSuffix(ext, packed))
				if err != nil {
					t.Fatal(err)
				}
				r, err := newLineReader(f)
				if err != nil {
					t.Fatal(err)
				}
				for i := range 2 {
					if got, err := r.next(); err != nil || len(got) != len(line)-1 || i == 0 && string(got[8:10]) != first {
						t.Errorf("%s: %q, %v; want %s", ext, got, err, first)
					}
				}
				f.Close()
			}
			if e, _ := os.ReadDir(dir); len(e) != len(c.want) {
				t.Errorf("left: %v", e)
			}
		})
	}
}

// TestRotationInsideABatch: one write that fills several files.
func TestRotationInsideABatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x-json.log")
	d := open(t, path, map[string]string{"max-size": "1k", "max-file": "1000"}, nil)
	var in bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&in, "%d\n", i)
	}
	if err := d.Write("stdout", at, in.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path + ".1"); err != nil || fi.Size() < 1000 || fi.Size() > 1100 {
		t.Fatal(fi, err)
	}
	expect(t, path, 0, 1000)
}

func TestTornEntryIsEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x-json.log")
	d := open(t, path, nil, nil)
	_ = d.Write("stdout", at, []byte("0\n"))
	d.Close()
	f, _ := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	_, _ = f.WriteString(`{"log":"torn`)
	f.Close()
	d = open(t, path, nil, nil)
	_ = d.Write("stdout", at, []byte("1\n"))
	d.Close()
	expect(t, path, 0, 2)
	if !strings.Contains(contents(t, path), "torn\n{") {
		t.Error("the torn entry was not ended")
	}
}

// TestFullDisk fills a real, small filesystem, frees it, and looks for torn lines.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	path, ballast := filepath.Join(dir, "x-json.log"), filepath.Join(dir, "ballast")
	d := open(t, path, nil, nil)
	if err := d.Write("stdout", at, []byte("0\n")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ballast, make([]byte, 48<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	batch := bytes.Repeat([]byte("-1\n"), 300) // 20 KiB on disk: the first does not fit
	var said int
	for range 5 {
		if err := d.Write("stdout", at, batch); err != nil {
			said++
		}
	}
	if said != 1 || d.lost == 0 {
		t.Errorf("said %d times, %d lost", said, d.lost)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := d.Write("stdout", at, []byte("1\n")); err != nil || d.lost != 0 {
		t.Error("did not recover:", err, d.lost)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(contents(t, path), "\n"), "\n")
	for i, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Fatalf("line %d is torn: %q", i, l)
		}
	}
	if !strings.HasPrefix(lines[len(lines)-1], `{"log":"1\n"`) {
		t.Error("last line:", lines[len(lines)-1])
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		opts map[string]string
		want options
		err  string
	}{
		{nil, options{DefaultMaxSize, DefaultMaxFile, false}, ""},
		{map[string]string{"max-size": "10m"}, options{10_000_000, 1, false}, ""},
		{map[string]string{"max-size": "-1"}, options{0, 1, false}, ""},
		{map[string]string{"max-file": "3"}, options{DefaultMaxSize, 3, false}, ""},
		{map[string]string{"max-size": "1k", "max-file": "2", "compress": "true", "tag": "x"}, options{1000, 2, true}, ""},
		{map[string]string{"max-size": "0"}, options{}, "max-size must be a positive number"},
		{map[string]string{"max-size": "x"}, options{}, "invalid max-size: invalid size: 'x'"},
		{map[string]string{"max-file": "0"}, options{}, "max-file cannot be less than 1"},
		{map[string]string{"max-size": "1k", "compress": "true"}, options{}, "compress cannot be true when max-file is less than 2 or max-size is not set"},
		{map[string]string{"nope": ""}, options{}, "unknown log opt 'nope' for json-file log driver"},
	} {
		err := Validate(c.opts)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%v: %v, want %s", c.opts, err, c.err)
			}
			continue
		}
		if got, perr := parse(c.opts); err != nil || perr != nil || got != c.want {
			t.Errorf("%v: %+v, %v", c.opts, got, err)
		}
	}
}

var benchLines = bytes.Repeat([]byte(strings.Repeat("x", 30)+"\t\""+strings.Repeat("y", 32)+"\n"), 32<<10/65)

// BenchmarkWrite: MB/s of what the container writes; the target is 25 ms/MiB = 42 MB/s.
func BenchmarkWrite(b *testing.B) {
	d := open(b, filepath.Join(b.TempDir(), "x-json.log"), nil, nil)
	defer d.Close()
	b.SetBytes(int64(len(benchLines)))
	for b.Loop() {
		if err := d.Write("stdout", at, benchLines); err != nil {
			b.Fatal(err)
		}
	}
}
