package local

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/logs/files"
	"github.com/berth-engine/berth/pkg/logs/record"
)

var at = time.Date(2026, 2, 3, 4, 5, 6, 789000001, time.UTC)

func TestFormat(t *testing.T) {
	w := &format{attrs: appendAttrs(map[string]string{"b": "2", "a": ""})}
	p := w.Append(nil, &record.Message{Line: []byte("hi\n"), Source: "stderr", Time: at})
	want := []byte("\x14\x00\x00\x00" + "\x03" + "12345678" + "\x07" + "\x01a\x00" + "\x01b\x012" + "hi\n" + "\x14\x00\x00\x00")
	copy(want[5:13], p[5:13]) // the time is looked at below
	if !bytes.Equal(p, want) {
		t.Fatalf("%q\nwant %q", p, want)
	}
	r := &format{}
	for range 2 {
		entry, n := r.Next(append(p, "rest"...))
		m, err := r.Decode(entry)
		if err != nil || n != len(p) {
			t.Fatal(n, err)
		}
		want := record.Message{Line: []byte("hi\n"), Source: "stderr", Time: at, Attrs: map[string]string{"a": "", "b": "2"}}
		if !reflect.DeepEqual(*m, want) {
			t.Fatalf("%+v", m)
		}
	}
}

// TestEndAfterLossOfPower: a file that grew and whose last blocks never came.
func TestEndAfterLossOfPower(t *testing.T) {
	f := &format{}
	var good []byte
	for range 3000 { // more than a block
		good = f.Append(good, &record.Message{Line: bytes.Repeat([]byte("x"), 60), Source: "stdout", Time: at})
	}
	long := f.Append(nil, &record.Message{Line: bytes.Repeat([]byte("y"), 3*files.BlockSize), Source: "stdout", Time: at})
	for name, p := range map[string][]byte{
		"zeros":           append(bytes.Clone(good), make([]byte, 5000)...),
		"half a long one": append(bytes.Clone(good), long[:2*files.BlockSize]...),
		"nothing":         good,
	} {
		if end, err := f.End(bytes.NewReader(p), int64(len(p))); err != nil || end != int64(len(good)) {
			t.Errorf("%s: %d, %v; want %d", name, end, err, len(good))
		}
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		opts map[string]string
		want files.Limits
		err  string
	}{
		{nil, files.Limits{MaxSize: 20 << 20, MaxFile: 5, Compress: true}, ""},
		{map[string]string{"max-size": "1k", "max-file": "1", "compress": "false", "tag": "x"}, files.Limits{MaxSize: 1000, MaxFile: 1}, ""},
		{map[string]string{"max-size": "x"}, files.Limits{}, "invalid value for max-size: x: invalid size: 'x'"},
		{map[string]string{"max-file": "-1"}, files.Limits{}, "max-file must not be negative"},
		{map[string]string{"max-file": "1"}, files.Limits{}, "compression cannot be enabled when max file count is 1"},
		{map[string]string{"compress": "x"}, files.Limits{}, `invalid boolean value for compress: strconv.ParseBool: parsing "x": invalid syntax`},
		{map[string]string{"nope": ""}, files.Limits{}, "unknown log opt 'nope' for log driver local"},
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

// TestDamage: what follows it is read.
func TestDamage(t *testing.T) {
	f := &format{}
	one := f.Append(nil, &record.Message{Line: []byte("one\n"), Source: "stdout", Time: at})
	p := append([]byte("\x0d\x00\x00\x00 and more damage"), one...)
	entry, n := f.Next(p)
	if entry != nil || n != len(p)-len(one) {
		t.Fatal(entry, n)
	}
	if entry, n = f.Next(p[n:]); n != len(one) || len(entry) != n-2*lengthSize {
		t.Error(entry, n)
	}
}

// FuzzRead: no bytes make the reader fail, loop or read past an entry; what Tail and
// End say lies in the file, and after End's cut the file reads the same.
func FuzzRead(f *testing.F) {
	w := &format{attrs: appendAttrs(map[string]string{"a": "b"})}
	one := w.Append(nil, &record.Message{Line: []byte("hi\n"), Source: "stdout", Time: at})
	f.Add(one)
	f.Add(append(bytes.Clone(one), one[:len(one)-2]...))
	f.Fuzz(func(t *testing.T, p []byte) {
		r := &format{}
		entries := 0
		for rest := p; ; entries++ {
			entry, n := r.Next(rest)
			if n < 0 || n > len(rest) || len(entry) > n {
				t.Fatal(n, len(entry))
			}
			if entry == nil {
				break
			}
			_, _ = r.Decode(entry)
			rest = rest[n:]
		}
		size := int64(len(p))
		end, err := r.End(bytes.NewReader(p), size)
		if err != nil || end < 0 || end > size {
			t.Fatal(end, err)
		}
		off, found, err := r.Tail(bytes.NewReader(p), size, 3)
		if err != nil || off < 0 || off > end || found > 3 {
			t.Fatal(off, found, err)
		}
	})
}

// FuzzRoundTrip: what is written is read.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("a\n"), "k", "v", int64(1))
	f.Fuzz(func(t *testing.T, line []byte, k, v string, nano int64) {
		w, r := &format{attrs: appendAttrs(map[string]string{k: v})}, &format{}
		in := &record.Message{Line: line, Source: "stderr", Time: time.Unix(0, nano)}
		p := w.Append(nil, in)
		entry, n := r.Next(p)
		m, err := r.Decode(entry)
		if n != len(p) || err != nil || !bytes.Equal(m.Line, line) || m.Attrs[k] != v || !m.Time.Equal(in.Time) || m.Source != "stderr" {
			t.Fatalf("%q: %d of %d, %+v, %v", p, n, len(p), m, err)
		}
	})
}
