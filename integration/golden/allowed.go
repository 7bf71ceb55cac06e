package golden

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
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
// that must match all of what they stand for, "" for anything.
func ParseRules(r io.Reader) (Rules, error) {
	var all Rules
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, " | ")
		if len(parts) != 5 || parts[4] == "" {
			return nil, fmt.Errorf("line %d: REQUEST | FIELD | A | B | REASON expected", n)
		}
		rule := &Rule{Line: n, Reason: parts[4]}
		for i, dst := range []**regexp.Regexp{&rule.Request, &rule.Field, &rule.A, &rule.B} {
			pattern := strings.TrimSpace(parts[i])
			if pattern == "*" {
				pattern = "(?s:.*)"
			}
			re, err := regexp.Compile("^(?:" + pattern + ")$")
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			*dst = re
		}
		all = append(all, rule)
	}
	return all, lines.Err()
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
