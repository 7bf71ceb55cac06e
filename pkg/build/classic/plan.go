package classic

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// instruction is one line of the plan.
type instruction struct {
	text    string // as in the Dockerfile: "RUN make"
	keyword string // "RUN"
	stage   string // as BuildKit calls it in the names of its vertices; "" if there is but one
	command string // of a RUN, as it is executed
	meta    bool   // it comes before the first FROM
	works   bool   // BuildKit may have a vertex for it; else it is the image's configuration alone
}

// plan is what a Dockerfile does for a target, in the order of its lines.
// InvalidArgument for one that is wrong, with the line.
func plan(dockerfile []byte, target string, args map[string]string) ([]instruction, error) {
	ast, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return nil, faulty(err)
	}
	stages, meta, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		return nil, faulty(err)
	}
	var out []instruction
	for _, a := range meta {
		out = append(out, instruction{text: a.String(), keyword: "ARG", meta: true})
	}
	needed, err := neededStages(stages, meta, target, args)
	if err != nil {
		return nil, err
	}
	for i, s := range stages {
		if !needed[i] {
			continue
		}
		name := strings.ToLower(s.Name)
		if name == "" {
			name = "stage-" + strconv.Itoa(i)
		}
		if len(stages) == 1 {
			name = ""
		}
		out = append(out, instruction{text: strings.TrimSpace(s.SourceCode), keyword: "FROM", stage: name, works: true})
		shell := []string{"/bin/sh", "-c"}
		for _, c := range s.Commands {
			in := instruction{text: fmt.Sprint(c), keyword: strings.ToUpper(c.Name()), stage: name}
			switch c := c.(type) {
			case *instructions.ShellCommand:
				shell = c.Shell
			case *instructions.RunCommand:
				in.works, in.command = true, strings.Join(c.CmdLine, " ")
				if c.PrependShell {
					in.command = strings.Join(shell, " ") + " " + in.command
				}
			case *instructions.CopyCommand, *instructions.AddCommand, *instructions.WorkdirCommand:
				in.works = true
			}
			out = append(out, in)
		}
	}
	return out, nil
}

// faulty gives a parser's error its class, and the line where it does not say it itself.
func faulty(err error) error {
	text := err.Error()
	if !strings.HasPrefix(text, "dockerfile parse error") {
		var at *parser.LocationError
		if errors.As(err, &at) && len(at.Locations) > 0 && len(at.Locations[0]) > 0 && at.Locations[0][0].Start.Line > 0 {
			text = fmt.Sprintf("dockerfile parse error on line %d: %s", at.Locations[0][0].Start.Line, text)
		} else {
			text = "dockerfile parse error: " + text
		}
	}
	return invalid("%s", text)
}

// neededStages follows the target's FROM, COPY --from and RUN --mount=from.
func neededStages(stages []instructions.Stage, meta []instructions.ArgCommand, target string, args map[string]string) (map[int]bool, error) {
	last := len(stages) - 1
	if target != "" {
		i, ok := find(stages, len(stages), target)
		if !ok {
			return nil, invalid("target stage %q could not be found", target)
		}
		last = i
	}
	env := values(meta, args)
	needed := map[int]bool{}
	var need func(i int)
	need = func(i int) {
		if needed[i] {
			return
		}
		needed[i] = true
		refs := []string{stages[i].BaseName}
		for _, c := range stages[i].Commands {
			refs = append(refs, from(c)...)
		}
		for _, ref := range refs {
			if word, _, err := shell.NewLex('\\').ProcessWord(ref, env); err == nil {
				ref = word
			}
			if j, ok := find(stages, i, ref); ok {
				need(j)
			}
		}
	}
	need(last)
	return needed, nil
}

// find looks a stage up by name or number among the first n.
func find(stages []instructions.Stage, n int, ref string) (int, bool) {
	for i := n - 1; i >= 0; i-- {
		if stages[i].Name != "" && strings.EqualFold(stages[i].Name, ref) {
			return i, true
		}
	}
	i, err := strconv.Atoi(ref)
	return i, err == nil && i >= 0 && i < n
}

func from(c instructions.Command) []string {
	switch c := c.(type) {
	case *instructions.CopyCommand:
		if c.From != "" {
			return []string{c.From}
		}
	case *instructions.RunCommand:
		// Only after this are mounts known; variables in them stay as they are.
		if err := c.Expand(func(s string) (string, error) { return s, nil }); err != nil {
			return nil
		}
		var refs []string
		for _, m := range instructions.GetMounts(c) {
			if m.From != "" {
				refs = append(refs, m.From)
			}
		}
		return refs
	}
	return nil
}

// values are the arguments that a FROM may use.
func values(meta []instructions.ArgCommand, given map[string]string) shell.EnvGetter {
	var env []string
	for _, a := range meta {
		for _, kv := range a.Args {
			if v, ok := given[kv.Key]; ok {
				env = append(env, kv.Key+"="+v)
			} else if kv.Value != nil {
				env = append(env, kv.Key+"="+*kv.Value)
			}
		}
	}
	return shell.EnvsFromSlice(env)
}

// vertex takes the name of a BuildKit vertex apart: "[linux/amd64 stage-1 2/3]
// RUN make". ok is false for vertices that are no instruction.
func vertex(name string) (stage, keyword, text string, ok bool) {
	head, rest, found := strings.Cut(name, "] ")
	if !found || !strings.HasPrefix(head, "[") {
		return "", "", "", false
	}
	words := strings.Fields(head[1:])
	if len(words) == 0 || !strings.Contains(words[len(words)-1], "/") || words[0] == "internal" {
		return "", "", "", false
	}
	if len(words) > 1 && !strings.Contains(words[len(words)-2], "/") {
		stage = words[len(words)-2]
	}
	keyword, text, _ = strings.Cut(rest, " ")
	return stage, keyword, strings.TrimSpace(text), true
}
