package logs

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/pkg/streams"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		driver string
		opts   map[string]string
		want   string
	}{
		{"json-file", nil, ""},
		{"", nil, ""},
		{"none", map[string]string{"x": "y"}, ""},
		{"json-file", map[string]string{"mode": "non-blocking", "max-buffer-size": "4m", "labels": "a", "cache-disabled": "true"}, ""},
		{"json-file", map[string]string{"x": "y"}, "unknown log opt 'x' for json-file log driver"},
		{"json-file", map[string]string{"mode": "x"}, "logger: logging mode not supported: x"},
		{"json-file", map[string]string{"max-buffer-size": "1m"}, "logger: max-buffer-size option is only supported with 'mode=non-blocking'"},
		{"fancy", nil, "logger: no log driver named 'fancy' is registered"},
	} {
		err := Validate(c.driver, c.opts)
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want || !errdefs.IsInvalidArgument(err)) {
			t.Errorf("%s %v: %v, want %q", c.driver, c.opts, err, c.want)
		}
	}
}

func TestDrivers(t *testing.T) {
	log := streams.Log{Driver: JSONFile, Path: filepath.Join(t.TempDir(), "x-json.log"), Attrs: map[string]string{"a": "b"}}
	d, err := Open(log)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write("stdout", time.Now(), []byte("hi\n")); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var n int
	err = Read(t.Context(), log, ReadOptions{Tail: -1, Stdout: true}, func(m *Message) error {
		n++
		if string(m.Line) != "hi\n" || m.Attrs["a"] != "b" {
			t.Errorf("%+v", m)
		}
		return nil
	})
	if err != nil || n != 1 {
		t.Error(n, err)
	}
	if _, err := Open(streams.Log{Driver: "fancy"}); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
	if err := Read(t.Context(), streams.Log{Driver: None}, ReadOptions{}, nil); !errdefs.IsNotImplemented(err) {
		t.Error(err)
	}
}
