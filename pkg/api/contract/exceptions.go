package contract

import (
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
	rows, err := ReadRows(strings.NewReader(text), "exceptions.txt", "KIND | OPERATION | FIELD | REASON")
	if err != nil {
		return nil, err
	}
	var all Exceptions
	for _, row := range rows {
		e := &Exception{Line: row.Line, Kind: row.Columns[0], Reason: row.Columns[3]}
		switch e.Kind {
		case Answer, May, Query, Header, Body:
		default:
			return nil, fmt.Errorf("exceptions.txt:%d: there is no kind %s", e.Line, e.Kind)
		}
		for i, dst := range []**regexp.Regexp{&e.Operation, &e.Field} {
			if *dst, err = row.Pattern(i + 1); err != nil {
				return nil, err
			}
		}
		all = append(all, e)
	}
	return all, nil
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
