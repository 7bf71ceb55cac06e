package main

import (
	"fmt"
	"slices"
	"strings"
)

// report collects samples by figure and engine.
type report struct {
	engines []*engine
	figures []*figure
}

type figure struct {
	name    string
	samples map[*engine][]float64
}

func (r *report) add(name string, e *engine, v float64) {
	i := slices.IndexFunc(r.figures, func(f *figure) bool { return f.name == name })
	if i < 0 {
		i = len(r.figures)
		r.figures = append(r.figures, &figure{name, map[*engine][]float64{}})
	}
	r.figures[i].samples[e] = append(r.figures[i].samples[e], v)
}

func median(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// markdown writes the table: a line for each figure, medians, and what part of
// each other engine's the first engine's is.
func (r *report) markdown(about string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n| |", about)
	for i, e := range r.engines {
		fmt.Fprintf(&b, " %s |", strings.TrimSpace(e.name+" "+e.version))
		if i > 0 {
			fmt.Fprintf(&b, " %s / %s |", r.engines[0].name, e.name)
		}
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", 2*len(r.engines)-1) + "\n")
	for _, f := range r.figures {
		fmt.Fprintf(&b, "| %s |", f.name)
		first := median(f.samples[r.engines[0]])
		for i, e := range r.engines {
			m := median(f.samples[e])
			if len(f.samples[e]) == 0 {
				fmt.Fprint(&b, " – |")
			} else {
				fmt.Fprintf(&b, " %s |", number(m))
			}
			if i > 0 {
				fmt.Fprintf(&b, " %s |", ratio(first, m))
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// number prints three digits or so.
func number(v float64) string {
	switch {
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10 || v <= -10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func ratio(a, b float64) string {
	if b <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", a/b)
}
