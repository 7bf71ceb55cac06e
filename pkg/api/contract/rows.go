package contract

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Row is a line of a table of rules.
type Row struct {
	File    string
	Line    int
	Columns []string
}

// ReadRows reads rows of a form, such as "A | B | REASON", whose last column is not empty.
// Empty lines and those that begin with # are skipped. Errors begin with "FILE:LINE: ".
func ReadRows(r io.Reader, file, form string) (rows []Row, err error) {
	n := len(strings.Split(form, " | "))
	lines := bufio.NewScanner(r)
	for at := 1; lines.Scan(); at++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Split(line, " | ")
		for i, c := range columns {
			columns[i] = strings.TrimSpace(c)
		}
		if len(columns) != n || columns[n-1] == "" {
			return nil, fmt.Errorf("%s:%d: %s expected", file, at, form)
		}
		rows = append(rows, Row{file, at, columns})
	}
	return rows, lines.Err()
}

// Pattern compiles a column's regular expression, which has to match all of a text.
func (r Row) Pattern(column int) (*regexp.Regexp, error) {
	re, err := regexp.Compile("^(?:" + r.Columns[column] + ")$")
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", r.File, r.Line, err)
	}
	return re, nil
}
