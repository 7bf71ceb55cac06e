package contract

import (
	"bufio"
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

// Kinds of what the schema has.
const (
	Answer = "answer" // a field of an answer
	May    = "may"    // likewise, which some hosts have a value for
	Query  = "query"  // a parameter of the query
	Header = "header" // a header of the request
	Body   = "body"   // a field of the request's body
)

// Exception is something that the schema has and Berth does not serve, with the
// reason. exceptions.txt lists them.
type Exception struct {
	Line             int
	Kind             string
	Operation, Field *regexp.Regexp
	Reason           string
	used             bool
}

// Exceptions are all of them. They are not safe for several goroutines.
type Exceptions []*Exception

//go:embed exceptions.txt
var exceptions string

// ReadExceptions parses exceptions.txt.
func ReadExceptions() (Exceptions, error) { return parseExceptions(exceptions) }

func parseExceptions(text string) (Exceptions, error) {
	var all Exceptions
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, " | ")
		if len(parts) != 4 || parts[3] == "" {
			return nil, fmt.Errorf("exceptions.txt:%d: KIND | OPERATION | FIELD | REASON expected", n)
		}
		e := &Exception{Line: n, Kind: parts[0], Reason: parts[3]}
		switch e.Kind {
		case Answer, May, Query, Header, Body:
		default:
			return nil, fmt.Errorf("exceptions.txt:%d: there is no kind %s", n, e.Kind)
		}
		for i, dst := range []**regexp.Regexp{&e.Operation, &e.Field} {
			re, err := regexp.Compile("^(?:" + parts[i+1] + ")$")
			if err != nil {
				return nil, fmt.Errorf("exceptions.txt:%d: %w", n, err)
			}
			*dst = re
		}
		all = append(all, e)
	}
	return all, lines.Err()
}

// Find gives the exception that is made for something, nil when there is none, and
// remembers that it was needed.
func (x Exceptions) Find(kind, operation, field string) *Exception {
	for _, e := range x {
		if e.Kind == kind && e.Operation.MatchString(operation) && e.Field.MatchString(field) {
			e.used = true
			return e
		}
	}
	return nil
}

// Reason says why something is not served; "" when no exception is made for it.
func (x Exceptions) Reason(kind, operation, field string) string {
	if e := x.Find(kind, operation, field); e != nil {
		return e.Reason
	}
	return ""
}

// Unused are the exceptions of a kind that Reason found no need for.
func (x Exceptions) Unused(kind string) (out []*Exception) {
	for _, e := range x {
		if e.Kind == kind && !e.used {
			out = append(out, e)
		}
	}
	return out
}
