package golden

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Step is one request.
type Step struct {
	Method, Target string
	Body           string            // JSON
	File           string            // sent as it is, instead of Body
	Save           map[string]string // names for later steps, and the fields of the answer that they get
	Until          string            // a field: Run repeats the request until it has a value
}

// Request is the step as it is written.
func (s Step) Request() string { return s.Method + " " + s.Target }

// Parse reads a script. A line with a method and a target begins a step; lines
// below it that begin with white space say more of it: JSON of the body, "file
// NAME", "save NAME=FIELD" or, for Run alone, "until FIELD". "#" begins a comment; $NAME is what was saved.
// files are the names that may be sent.
func Parse(r io.Reader, files map[string]string) ([]Step, error) {
	var all []Step
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		if line == trimmed {
			method, target, ok := strings.Cut(line, " ")
			if !ok || !strings.HasPrefix(target, "/") {
				return nil, fmt.Errorf("line %d: METHOD /target expected: %s", n, line)
			}
			all = append(all, Step{Method: method, Target: target, Save: map[string]string{}})
			continue
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("line %d: there is no step for it: %s", n, line)
		}
		s := &all[len(all)-1]
		word, rest, _ := strings.Cut(trimmed, " ")
		switch word {
		case "file":
			if s.File = files[rest]; s.File == "" {
				return nil, fmt.Errorf("line %d: there is no file %s", n, rest)
			}
		case "until":
			s.Until = rest
		case "save":
			name, field, ok := strings.Cut(rest, "=")
			if !ok {
				return nil, fmt.Errorf("line %d: save NAME=FIELD expected", n)
			}
			s.Save[name] = field
		default:
			s.Body += trimmed
		}
	}
	return all, lines.Err()
}
