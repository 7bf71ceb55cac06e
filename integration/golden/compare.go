package golden

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

func compareAnswers(a, b *answer) (all []Difference) {
	add := func(field string, x, y any) {
		all = append(all, Difference{Field: field, A: short(x), B: short(y)})
	}
	if a.status != b.status {
		add("status", strings.TrimSpace(fmt.Sprint(a.status, " ", message(a.body))), strings.TrimSpace(fmt.Sprint(b.status, " ", message(b.body))))
		return all
	}
	for _, h := range compared {
		if a.headers[h] != b.headers[h] {
			add("header "+h, a.headers[h], b.headers[h])
		}
	}
	if a.text != b.text {
		add("text", a.text, b.text)
	}
	walk("body", a.body, b.body, add)
	return all
}

func message(v any) string {
	if m, ok := v.(map[string]any); ok && m["message"] != nil {
		return fmt.Sprint(m["message"])
	}
	return ""
}

// walk compares two values. Of lists the lengths are compared and then the
// elements, in their order.
func walk(field string, a, b any, add func(string, any, any)) {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			add(field, kind(a), kind(b))
			return
		}
		for _, k := range slices.Sorted(maps.Keys(x)) {
			if v, ok := y[k]; ok {
				walk(field+"."+k, x[k], v, add)
			} else {
				add(field+"."+k, x[k], absent{})
			}
		}
		for _, k := range slices.Sorted(maps.Keys(y)) {
			if _, ok := x[k]; !ok {
				add(field+"."+k, absent{}, y[k])
			}
		}
	case []any:
		y, ok := b.([]any)
		if !ok {
			add(field, kind(a), kind(b))
			return
		}
		if len(x) != len(y) {
			add(field, x, y)
			return
		}
		for i := range x {
			walk(field+"[]", x[i], y[i], add)
		}
	default:
		if a != b {
			add(field, a, b)
		}
	}
}

type absent struct{}

func (absent) MarshalJSON() ([]byte, error) { return []byte(`"(absent)"`), nil }

func kind(v any) any {
	switch x := v.(type) {
	case map[string]any:
		if len(x) == 0 {
			return "{}"
		}
		return "an object"
	case []any:
		if len(x) == 0 {
			return "[]"
		}
		return "a list"
	}
	return v
}

func short(v any) string {
	if s, ok := v.(string); ok {
		return strings.ReplaceAll(s, "\n", `\n`)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	if len(b) > 300 {
		b = append(b[:300], "…"...)
	}
	return string(b)
}

// masks replace what differs by nature.
var masks = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`sha256:[0-9a-f]{64}`), "<digest>"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "<id>"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "<id12>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`), "<time>"},
	{regexp.MustCompile(`\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b`), "<mac>"},
	{regexp.MustCompile(`\b(Less than a second|About an? (minute|hour)|\d+ (second|minute)s?)\b`), "<while>"},
	{regexp.MustCompile(`\b(10|172|192)\.\d+\.\d+\.\d+\b`), "<ip>"},
}

// zero is Docker's way to say never; it stays visible.
const zeroTime = "0001-01-01T00:00:00Z"

func (e *Engine) mask(s string) string {
	if s == zeroTime {
		return s
	}
	s = strings.ReplaceAll(s, e.Root, "<root>")
	for _, m := range masks {
		s = m.pattern.ReplaceAllString(s, m.with)
	}
	return s
}

// numbers are the fields whose values say something of the moment or the machine
// and not of the engine.
var numbers = map[string]bool{
	"Pid": true, "Created": true, "Size": true, "SharedSize": true, "VirtualSize": true, "SizeRw": true, "SizeRootFs": true, "LayersSize": true, "time": true,
	"timeNano": true, "NFd": true, "NGoroutines": true, "NEventsListener": true, "size": true, "mtime": true,
}

// moments are the fields in which every value is of the moment: usage, processes.
var moments = map[string]bool{
	"cpu_stats": true, "precpu_stats": true, "memory_stats": true, "pids_stats": true, "blkio_stats": true, "networks": true, "Processes": true,
}

// devices ends the names of lists that have an entry for each device that was used so
// far: only one of two engines may have had to read from the disk.
const devices = "_recursive"

// maskValue masks the value of a field. Lists of objects that have no order of
// their own are sorted.
func (e *Engine) maskValue(key string, v any, moment bool) any {
	moment = moment || moments[key]
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, v := range x {
			out[e.mask(k)] = e.maskValue(k, v, moment)
		}
		return out
	case []any:
		if moment && strings.HasSuffix(key, devices) {
			return "<list>"
		}
		out := make([]any, len(x))
		for i, v := range x {
			out[i] = e.maskValue(key, v, moment)
		}
		slices.SortStableFunc(out, func(a, b any) int { return strings.Compare(rank(a), rank(b)) })
		return out
	case string:
		if moment {
			return "<text>"
		}
		return e.mask(x)
	case json.Number:
		if moment || numbers[key] && x != "0" && x != "-1" {
			return "<number>"
		}
	}
	return v
}

// rank is what an object is sorted by; "" keeps its place.
func rank(v any) string {
	m, ok := v.(map[string]any)
	if !ok {
		return ""
	}
	for _, key := range []string{"Name", "Destination", "PrivatePort"} {
		if m[key] != nil {
			return fmt.Sprint(m[key])
		}
	}
	return ""
}
