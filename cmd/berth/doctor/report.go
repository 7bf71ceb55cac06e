package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Status is how a check ended.
type Status string

// Problem alone changes the exit status.
const (
	OK      Status = "ok"
	Warning Status = "warning" // works, with less
	Problem Status = "problem"
	Skipped Status = "skipped" // could not be looked at
)

// Result is what one check found.
type Result struct {
	Check  string
	Status Status
	Detail string
	Advice string `json:",omitempty"` // what to do; none when it is ok
}

var formats = map[string]func(io.Writer, []Result) error{"table": table, "json": lines}

func count(all []Result, s Status) (n int) {
	for _, r := range all {
		if r.Status == s {
			n++
		}
	}
	return n
}

// lines prints an object a line, as Docker's lists do.
func lines(w io.Writer, all []Result) error {
	enc := json.NewEncoder(w)
	for _, r := range all {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func table(w io.Writer, all []Result) error {
	t := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
	_, _ = fmt.Fprintln(t, "CHECK\tSTATUS\tDETAIL") // Flush has the error
	for _, r := range all {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", r.Check, r.Status, printable(r.Detail))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	told := map[string]bool{}
	for _, r := range all {
		if r.Advice == "" || told[r.Advice] {
			continue
		}
		if len(told) == 0 {
			if _, err := fmt.Fprintln(w, "\nWhat to do:"); err != nil {
				return err
			}
		}
		told[r.Advice] = true
		if _, err := fmt.Fprintf(w, "  %s: %s\n", r.Check, printable(r.Advice)); err != nil {
			return err
		}
	}
	return nil
}

// printable keeps names that others chose from moving the terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
