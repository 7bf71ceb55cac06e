package spec

import (
	"context"
	"path"
	"strings"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// initProcess is the container's main process.
func initProcess(in Input, sec security) (*specs.Process, error) {
	args := append(append([]string(nil), in.Config.Entrypoint...), in.Config.Cmd...)
	if len(args) == 0 {
		return nil, errNoCommand
	}
	if usesInit(in) {
		args = append([]string{initPath, "--"}, args...)
	}
	p := &specs.Process{
		Terminal: in.Config.Tty,
		Args:     args,
		Env:      environment(in, in.Config.Tty, nil),
		Cwd:      workingDir(in.Config.WorkingDir),
	}
	if in.Config.Tty {
		p.ConsoleSize = box(in.HostConfig.ConsoleSize)
	}
	if in.HostConfig.OomScoreAdj != 0 {
		p.OOMScoreAdj = &in.HostConfig.OomScoreAdj
	}
	if err := restrict(p, in, sec, in.Config.User, in.HostConfig.Privileged); err != nil {
		return nil, err
	}
	return p, nil
}

// Process is a further process in a running container. Of in it needs Config,
// HostConfig, Lookup and Host; what the request leaves open is as for the
// container's main process.
func Process(ctx context.Context, in Input, exec *container.ExecCreateRequest) (*specs.Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(exec.Cmd) == 0 {
		return nil, errNoExecCommand
	}
	sec, err := parseSecurity(in.HostConfig.SecurityOpt, in.Defaults)
	if err != nil {
		return nil, err
	}
	p := &specs.Process{
		Terminal: exec.Tty,
		Args:     exec.Cmd,
		Env:      environment(in, exec.Tty, exec.Env),
		Cwd:      workingDir(in.Config.WorkingDir),
	}
	if exec.WorkingDir != "" {
		p.Cwd = path.Clean(exec.WorkingDir) // the runtime refuses a relative one
	}
	if exec.Tty && exec.ConsoleSize != nil {
		p.ConsoleSize = box(*exec.ConsoleSize)
	}
	user := exec.User
	if user == "" {
		user = in.Config.User
	}
	if err := restrict(p, in, sec, user, exec.Privileged || in.HostConfig.Privileged); err != nil {
		return nil, err
	}
	return p, nil
}

// restrict sets who the process is and what it may do.
func restrict(p *specs.Process, in Input, sec security, user string, privileged bool) (err error) {
	id, home, err := lookupUser(in.Lookup, user, in.HostConfig.GroupAdd)
	if err != nil {
		return err
	}
	p.User = id
	if home != "" && !hasVariable(p.Env, "HOME") {
		p.Env = append(p.Env, "HOME="+home)
	}
	if p.Capabilities, err = capabilities(in.HostConfig, privileged, in.Host); err != nil {
		return err
	}
	if p.Rlimits, err = rlimits(in.HostConfig.Ulimits); err != nil {
		return err
	}
	p.NoNewPrivileges = sec.noNewPrivileges
	p.ApparmorProfile = appArmorProfile(sec, privileged, in.Host)
	return nil
}

// environment is Docker's: PATH, HOSTNAME and TERM, those of links, then the
// configured variables, then more. A later setting of a name replaces the earlier one in
// its place; a name without "=" removes the variable.
func environment(in Input, tty bool, more []string) []string {
	env := []string{defaultPath}
	if in.Config.Hostname != "" {
		env = append(env, "HOSTNAME="+in.Config.Hostname)
	}
	if tty {
		env = append(env, "TERM=xterm")
	}
	return setVariables(setVariables(append(env, in.LinkEnv...), in.Config.Env), more)
}

func setVariables(env, changes []string) []string {
	at := make(map[string]int, len(env)+len(changes))
	for i, e := range env {
		name, _, _ := strings.Cut(e, "=")
		at[name] = i
	}
	removed := false
	for _, c := range changes {
		name, _, set := strings.Cut(c, "=")
		i, known := at[name]
		switch {
		case !set && known:
			env[i], removed = "", true
			delete(at, name)
		case !set:
		case known:
			env[i] = c
		default:
			at[name] = len(env)
			env = append(env, c)
		}
	}
	if !removed {
		return env
	}
	out := env[:0]
	for _, e := range env {
		if e != "" {
			out = append(out, e)
		}
	}
	return out
}

func hasVariable(env []string, name string) bool {
	for _, e := range env {
		if strings.HasPrefix(e, name+"=") {
			return true
		}
	}
	return false
}

// workingDir is absolute; the runtime makes it when it is not there.
func workingDir(dir string) string { return path.Clean("/" + dir) }

// box is nil for a size that nobody set, which leaves the kernel's.
func box(size [2]uint) *specs.Box {
	if size[0] == 0 && size[1] == 0 {
		return nil
	}
	return &specs.Box{Height: size[0], Width: size[1]}
}
