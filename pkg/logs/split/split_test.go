package split

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/logs/record"
)

var at = time.Date(2026, 2, 3, 4, 5, 6, 789000000, time.UTC)

// entry is what of a message the tests compare.
type entry struct {
	text    string
	after   time.Duration // since at
	ordinal int           // of a part
	last    bool
}

func collect(to *[]entry, t *testing.T, source string) *Splitter {
	var id string
	return New(func(m *record.Message) {
		e := entry{text: string(m.Line), after: m.Time.Sub(at)}
		if p := m.Partial; p != nil {
			if p.Ordinal > 1 && p.ID != id || p.Ordinal == 1 && p.ID == id {
				t.Errorf("part %d has ID %q after %q", p.Ordinal, p.ID, id)
			}
			e.ordinal, e.last, id = p.Ordinal, p.Last, p.ID
		}
		if m.Source != source {
			t.Errorf("source %q", m.Source)
		}
		*to = append(*to, e)
	})
}

func TestLongLinesAreSplit(t *testing.T) {
	var got []entry
	s := collect(&got, t, "stderr")
	const most = record.MaxLine
	in := strings.Repeat("a", most) + strings.Repeat("b", most) + strings.Repeat("c", 10) + "\n" + strings.Repeat("d", most-1) + "\nshort\ntail"
	for i, p := range []string{in[:100], in[100:20000], in[20000:]} {
		s.Write("stderr", at.Add(time.Duration(i)*time.Second), []byte(p))
	}
	s.End(at.Add(time.Hour))
	want := []entry{
		{strings.Repeat("a", most), time.Second, 1, false},
		{strings.Repeat("b", most), time.Second, 2, false}, // the time of its first part
		{strings.Repeat("c", 10) + "\n", time.Second, 3, true},
		{strings.Repeat("d", most-1) + "\n", 2 * time.Second, 0, false},
		{"short\n", 2 * time.Second, 0, false},
		{"tail", time.Hour, 1, false},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%.300v", got)
	}
}

// FuzzSplit: whatever the boundaries, the entries are what was written, and none is
// longer than it may be or has a newline inside.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("a\nb"), 1)
	f.Add([]byte(strings.Repeat("x", record.MaxLine+1)+"\n"), 700)
	f.Fuzz(func(t *testing.T, p []byte, step int) {
		step = max(1, step)
		var all strings.Builder
		s := New(func(m *record.Message) {
			if i := strings.IndexByte(string(m.Line), '\n'); len(m.Line) > record.MaxLine || i >= 0 && i != len(m.Line)-1 {
				t.Fatalf("entry of %d bytes, newline at %d", len(m.Line), i)
			}
			all.Write(m.Line)
		})
		for rest := p; len(rest) > 0; rest = rest[min(step, len(rest)):] {
			s.Write("stdout", at, rest[:min(step, len(rest))])
		}
		s.End(at)
		if all.String() != string(p) {
			t.Fatalf("%q became %q", p, all.String())
		}
	})
}
