// Package instructions applies Dockerfile instructions to the configuration of an
// image, as commit and import take them with --change.
package instructions

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/sys/signal"
)

// Bounds of what a request may ask for.
const (
	maxChanges = 1000
	maxText    = 1 << 20
)

// allowed are the instructions that change nothing but the configuration.
var allowed = map[string]bool{
	"cmd": true, "entrypoint": true, "healthcheck": true, "env": true, "expose": true, "label": true,
	"onbuild": true, "stopsignal": true, "user": true, "volume": true, "workdir": true,
}

// Apply changes c by instructions, one or more lines each. InvalidArgument: one that
// is malformed or does not change the configuration; c is half changed then.
func Apply(c *dockerspec.DockerOCIImageConfig, changes []string) error {
	text := strings.Join(changes, "\n")
	if strings.TrimSpace(text) == "" {
		return nil
	}
	if len(changes) > maxChanges || len(text) > maxText {
		return invalid("too many changes")
	}
	file, err := parser.Parse(strings.NewReader(text))
	if errors.Is(err, io.EOF) || err == nil && file.AST == nil {
		return nil
	}
	if err != nil {
		return invalid("%v", err)
	}
	a := &applier{config: c, lex: shell.NewLex(file.EscapeToken)}
	for _, node := range file.AST.Children {
		if !allowed[strings.ToLower(node.Value)] {
			return invalid("%s is not a valid change command", node.Value)
		}
		instruction, err := instructions.ParseInstruction(node)
		if err == nil {
			err = a.apply(instruction)
		}
		if err != nil {
			return invalid("%v", err)
		}
	}
	return nil
}

type applier struct {
	config *dockerspec.DockerOCIImageConfig
	lex    *shell.Lex
	cmdSet bool
}

func (a *applier) apply(instruction any) error {
	env := shell.EnvsFromSlice(a.config.Env)
	if x, ok := instruction.(instructions.SupportsSingleWordExpansion); ok {
		if err := x.Expand(func(word string) (string, error) {
			out, _, err := a.lex.ProcessWord(word, env)
			return out, err
		}); err != nil {
			return err
		}
	}
	c := a.config
	switch i := instruction.(type) {
	case *instructions.EnvCommand:
		for _, kv := range i.Env {
			c.Env = setEnv(c.Env, kv.Key, kv.Value)
		}
	case *instructions.LabelCommand:
		for _, kv := range i.Labels {
			put(&c.Labels, kv.Key, kv.Value)
		}
	case *instructions.CmdCommand:
		c.Cmd, a.cmdSet = a.command(i.ShellDependantCmdLine), true
	case *instructions.EntrypointCommand:
		c.Entrypoint = a.command(i.ShellDependantCmdLine)
		if !a.cmdSet {
			c.Cmd = nil // it was for the entry point before
		}
	case *instructions.HealthCheckCommand:
		c.Healthcheck = i.Health
	case *instructions.OnbuildCommand:
		c.OnBuild = append(c.OnBuild, i.Expression)
	case *instructions.UserCommand:
		c.User = i.User
	case *instructions.WorkdirCommand:
		c.WorkingDir = workdir(c.WorkingDir, i.Path)
	case *instructions.VolumeCommand:
		for _, v := range i.Volumes {
			if v == "" {
				return errors.New("VOLUME specified can not be an empty string")
			}
			put(&c.Volumes, v, struct{}{})
		}
	case *instructions.StopSignalCommand:
		if _, err := signal.ParseSignal(i.Signal); err != nil {
			return err
		}
		c.StopSignal = i.Signal
	case *instructions.ExposeCommand:
		return a.expose(i.Ports, env)
	default:
		return fmt.Errorf("%T is not a valid change command", instruction)
	}
	return nil
}

// command gives the arguments of the exec form, or the shell's.
func (a *applier) command(line instructions.ShellDependantCmdLine) []string {
	if !line.PrependShell {
		return line.CmdLine
	}
	sh := a.config.Shell
	if len(sh) == 0 {
		sh = []string{"/bin/sh", "-c"}
	}
	return append(append([]string{}, sh...), line.CmdLine...)
}

// expose adds ports: "80", "80/udp", "8000-8010".
func (a *applier) expose(specs []string, env shell.EnvGetter) error {
	for _, spec := range specs {
		words, err := a.lex.ProcessWords(spec, env)
		if err != nil {
			return err
		}
		for _, word := range words {
			ports, err := network.ParsePortRange(word)
			if err != nil {
				return fmt.Errorf("invalid port specification: %q", word)
			}
			for p := range ports.All() {
				put(&a.config.ExposedPorts, p.String(), struct{}{})
			}
		}
	}
	return nil
}

func setEnv(env []string, key, value string) []string {
	for i, kv := range env {
		if k, _, _ := strings.Cut(kv, "="); k == key {
			env = append([]string{}, env...)
			env[i] = key + "=" + value
			return env
		}
	}
	return append(env[:len(env):len(env)], key+"="+value)
}

func put[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = value
}

func workdir(now, next string) string {
	if path.IsAbs(next) {
		return path.Clean(next)
	}
	return path.Join("/", now, next)
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
