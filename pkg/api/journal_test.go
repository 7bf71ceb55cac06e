package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

// journal is what the fakes were asked for; the nil journal forgets it.
type journal struct {
	mu    sync.Mutex // guards lines
	lines []string
}

// note takes a call down with the arguments that say something.
func (j *journal) note(call string, args ...any) {
	if j == nil {
		return
	}
	raw, err := json.Marshal(args)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", call, err)) // the fakes note nothing that cannot be
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, call+string(raw))
}

// read gives what was noted since it was last called.
func (j *journal) read() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := strings.Join(j.lines, "\n")
	j.lines = nil
	return out
}
