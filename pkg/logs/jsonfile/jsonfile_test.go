package jsonfile

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/berth-engine/berth/pkg/logs/files"
	"github.com/berth-engine/berth/pkg/logs/record"
	"github.com/berth-engine/berth/pkg/logs/split"
)

var at = time.Date(2026, 2, 3, 4, 5, 6, 789000000, time.UTC)

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
			w, err := Open(path, nil, c.attrs)
			if err != nil {
				t.Fatal(err)
			}
			s := split.New(w.Add)
			for _, p := range c.in {
				s.Write("stdout", at, []byte(p))
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != c.want {
				t.Errorf("got  %swant %s (%v)", got, c.want, err)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		opts map[string]string
		want files.Limits
		err  string
	}{
		{nil, files.Limits{MaxSize: DefaultMaxSize, MaxFile: DefaultMaxFile, Compress: false}, ""},
		{map[string]string{"max-size": "10m"}, files.Limits{MaxSize: 10_000_000, MaxFile: 1, Compress: false}, ""},
		{map[string]string{"max-size": "-1"}, files.Limits{MaxSize: 0, MaxFile: 1, Compress: false}, ""},
		{map[string]string{"max-file": "3"}, files.Limits{MaxSize: DefaultMaxSize, MaxFile: 3, Compress: false}, ""},
		{map[string]string{"max-size": "1k", "max-file": "2", "compress": "true", "tag": "x"}, files.Limits{MaxSize: 1000, MaxFile: 2, Compress: true}, ""},
		{map[string]string{"max-size": "0"}, files.Limits{}, "max-size must be a positive number"},
		{map[string]string{"max-size": "x"}, files.Limits{}, "invalid max-size: invalid size: 'x'"},
		{map[string]string{"max-file": "0"}, files.Limits{}, "max-file cannot be less than 1"},
		{map[string]string{"max-size": "1k", "compress": "true"}, files.Limits{}, "compress cannot be true when max-file is less than 2 or max-size is not set"},
		{map[string]string{"nope": ""}, files.Limits{}, "unknown log opt 'nope' for json-file log driver"},
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

func TestReadPassesOverDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	entry := func(s string) string {
		return string(appendEntry(nil, []byte(s+"\n"), appendTail(nil, "stdout", nil, at)))
	}
	damage := "{\"log\":\"half\n\n\x00\x00\x00\n" + `{"log":"no time","stream":"stdout"}` + "\n" + strings.Repeat("x", files.MaxEntry+files.BlockSize) + "\n"
	foreign := `{"time":"2026-02-03T04:05:06Z", "stream":"stdout", "log":"2\n"}` + "\n"
	if err := os.WriteFile(path, []byte(entry("0")+damage+entry("1")+foreign+`{"log":"torn`), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := Read(t.Context(), path, record.ReadOptions{Tail: -1, Stdout: true}, func(m *record.Message) error {
		got = append(got, string(m.Line))
		return nil
	})
	if want := []string{"0\n", "1\n", "2\n"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDecodeAttributes(t *testing.T) {
	var d decoder
	for _, attrs := range []map[string]string{{"a": `1"}`, "b": "<"}, {"a": `1"}`, "b": "<"}, nil, {"c": "3"}} {
		var a []byte
		if attrs != nil {
			a, _ = json.Marshal(attrs)
		}
		line := appendEntry(nil, []byte("x\n"), appendTail(nil, "stderr", a, at))
		if !d.fast(line) {
			t.Fatalf("slow: %s", line)
		}
		if m := d.msg; !reflect.DeepEqual(m.Attrs, attrs) || m.Source != "stderr" || !m.Time.Equal(at) || string(m.Line) != "x\n" {
			t.Errorf("%+v", m)
		}
	}
}

// TestPrefixes: each byte at each place of a word and behind it.
func TestPrefixes(t *testing.T) {
	for _, c := range []struct {
		prefix func([]byte) int
		ends   func(b byte) bool
	}{
		{simple, func(b byte) bool { return b < ' ' || b >= utf8.RuneSelf || b == '"' || b == '\\' }},
		{plainPrefix, func(b byte) bool { return !plain[b] }},
	} {
		for at := range 20 {
			for b := range 256 {
				p := bytes.Repeat([]byte{'x'}, 20)
				p[at] = byte(b)
				want := len(p)
				if c.ends(p[at]) {
					want = at
				}
				if got := c.prefix(p); got != want {
					t.Errorf("byte %#x at %d: %d, want %d", b, at, got, want)
				}
			}
		}
	}
}

// TestDecodeKeepsNothing of a line that the next one does not have, whichever way each
// of them is read.
func TestDecodeKeepsNothing(t *testing.T) {
	lines := []string{
		`{"log":"a\n","stream":"stdout","time":"2026-02-03T04:05:06.789Z"}`,
		`{"log":"b\n","stream":"stdout","time":"2026-02-03T04:05:06.789Z"}`,
		`{"log":"c\n","stream":"stderr","time":"2026-02-03T04:05:06.789Z"}`,
		`{"log":"d\n","stream":"stderr","attrs":{"k":"v"},"time":"2026-02-03T04:05:07Z"}`,
		`{"log":"e\n","stream":"stderr", "time":"2026-02-03T04:05:08Z"}`,
		`{"log":"f\n"}`,
		`{"log":"torn`,
		`{"log":"g\n","stream":"stdout","time":"yesterday"}`,
	}
	for _, before := range lines {
		for _, line := range lines {
			var d, fresh decoder
			_, _ = d.decode([]byte(before))
			got, err := d.decode([]byte(line))
			want, wantErr := fresh.decode([]byte(line))
			if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
				t.Errorf("%s after %s: %+v, %v, want %+v, %v", line, before, got, err, want, wantErr)
			}
			if got, err := d.decode([]byte(lines[0])); err != nil || string(got.Line) != "a\n" || !got.Time.Equal(at) || got.Source != "stdout" || got.Attrs != nil {
				t.Errorf("after %s and %s: %+v, %v", before, line, got, err)
			}
		}
	}
}

// FuzzDecode: whatever the fast decoder takes, encoding/json takes with the same result,
// whatever lines came before.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"log":"a\n","stream":"stdout","attrs":{"a":"}\""},"time":"2026-02-03T04:05:06.789Z"}`))
	f.Add([]byte(`{"log":"\u00e4\ud834\udd1e\t\/","stream":"stderr","time":"2026-02-03T04:05:06Z"}`))
	f.Add([]byte(`{"log":"a","stream":"stderr","time":"2026-02-03T04:05:06Z"}` + "\n" + `{"log":"b","stream":"stderr","time":"2026-02-03T04:05:06Z"}`))
	f.Fuzz(func(t *testing.T, lines []byte) {
		var d decoder
		for line := range bytes.SplitSeq(lines, []byte{'\n'}) {
			if !d.fast(line) {
				_, _ = d.decode(line)
				continue
			}
			var e struct {
				Log    string            `json:"log"`
				Stream string            `json:"stream"`
				Attrs  map[string]string `json:"attrs"`
				Time   time.Time         `json:"time"`
			}
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			m := d.msg
			if string(m.Line) != e.Log || m.Source != e.Stream || !m.Time.Equal(e.Time) || len(m.Attrs) != len(e.Attrs) || len(e.Attrs) > 0 && !reflect.DeepEqual(m.Attrs, e.Attrs) {
				t.Fatalf("%q: %+v, json has %+v", line, m, e)
			}
		}
	})
}

// FuzzRoundTrip: what is written is read, but for invalid UTF-8.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("a\x00<\u2028\xff\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		line := appendEntry(nil, p, appendTail(nil, "stdout", nil, at))
		var d decoder
		m, err := d.decode(line)
		if want := bytes.ToValidUTF8(p, []byte("\ufffd")); err != nil || !json.Valid(line) || len(p) < 100 && !bytes.Equal(m.Line, want) && !bytes.ContainsRune(m.Line, '\ufffd') {
			t.Fatalf("%q became %q, %v", p, m.Line, err)
		}
	})
}

// entries are n lines of 65 bytes, as a container writes them: many share a time.
func entries(n int) (lines [][]byte) {
	for i := range n {
		line := []byte(strings.Repeat("x", 64) + "\n")
		lines = append(lines, appendEntry(nil, line, appendTail(nil, "stdout", nil, at.Add(time.Duration(i/100)))))
	}
	return lines
}

func TestDecodeAllocatesNothing(t *testing.T) {
	var d decoder
	lines := entries(1000)
	if n := testing.AllocsPerRun(10, func() {
		for _, line := range lines {
			if _, err := d.decode(line); err != nil {
				t.Fatal(err)
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	var f format
	m := record.Message{Line: []byte(strings.Repeat("x", 64) + "\n"), Source: "stdout", Time: at}
	b.SetBytes(1000 * 65)
	b.ReportAllocs()
	var out []byte
	for b.Loop() {
		out = out[:0]
		for range 1000 {
			out = f.Append(out, &m)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	var d decoder
	lines := entries(1000)
	b.SetBytes(1000 * 65)
	b.ReportAllocs()
	for b.Loop() {
		for _, line := range lines {
			if _, err := d.decode(line); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkRead reads 1 MiB of lines from a file.
func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x")
	if err := os.WriteFile(path, bytes.Join(entries(1<<20/65), nil), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if err := Read(b.Context(), path, record.ReadOptions{Tail: -1, Stdout: true}, func(*record.Message) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
