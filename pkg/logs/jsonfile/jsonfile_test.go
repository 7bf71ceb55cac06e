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

// FuzzDecode: whatever the fast decoder takes, encoding/json takes with the same result.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"log":"a\n","stream":"stdout","attrs":{"a":"}\""},"time":"2026-02-03T04:05:06.789Z"}`))
	f.Add([]byte(`{"log":"\u00e4\ud834\udd1e\t\/","stream":"stderr","time":"2026-02-03T04:05:06Z"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var d decoder
		if !d.fast(line) {
			_, _ = d.decode(line)
			return
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
