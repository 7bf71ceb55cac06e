package golden

import (
	"io"
	"regexp"

	"github.com/berth-engine/berth/pkg/api/contract"
)

// Rule allows differences, for a reason.
type Rule struct {
	Line           int
	Request, Field *regexp.Regexp
	A, B           *regexp.Regexp // of the values; nil: any
	Reason         string
	used           bool
}

// Rules are what two engines may differ in.
type Rules []*Rule

// ParseRules reads lines of REQUEST | FIELD | A | B | REASON: regular expressions
// that must match all of what they stand for, "*" for anything.
func ParseRules(r io.Reader) (Rules, error) {
	rows, err := contract.ReadRows(r, "differences.txt", "REQUEST | FIELD | A | B | REASON")
	if err != nil {
		return nil, err
	}
	var all Rules
	for _, row := range rows {
		rule := &Rule{Line: row.Line, Reason: row.Columns[4]}
		for i, dst := range []**regexp.Regexp{&rule.Request, &rule.Field, &rule.A, &rule.B} {
			if row.Columns[i] == "*" {
				row.Columns[i] = "(?s:.*)"
			}
			if *dst, err = row.Pattern(i); err != nil {
				return nil, err
			}
		}
		all = append(all, rule)
	}
	return all, nil
}

// Allows says whether a rule is made for the difference, and remembers that it
// was needed.
func (r Rules) Allows(d Difference) bool {
	for _, rule := range r {
		if rule.Request.MatchString(d.Request) && rule.Field.MatchString(d.Field) && rule.A.MatchString(d.A) && rule.B.MatchString(d.B) {
			rule.used = true
			return true
		}
	}
	return false
}

// Unused are the rules that no difference needed.
func (r Rules) Unused() (out []*Rule) {
	for _, rule := range r {
		if !rule.used {
			out = append(out, rule)
		}
	}
	return out
}
