// Package top lists the processes of a container with the host's ps, as Docker
// does: what a client asks for are options of ps, a language of its own, so
// only ps knows what they mean. Nothing of the container is executed, and what
// ps prints of its processes is data.
package top

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

// defaultOptions are those of a client that gives none.
const defaultOptions = "-ef"

// maxOutput bounds what ps may print, in bytes.
const maxOutput = 16 << 20

// fakePID finds a column that would be printed under the name PID, by which
// processes are told apart.
var fakePID = regexp.MustCompile(`\s+(\S*)=\s*(PID\S*)`)

// Options splits what a client gave. InvalidArgument: it renames a column to
// PID.
func Options(s string) ([]string, error) {
	if s == "" {
		s = defaultOptions
	}
	if strings.ContainsRune(s, 0) {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid ps options: they contain a null character")
	}
	for _, m := range fakePID.FindAllStringSubmatch(s, -1) {
		if m[1] != "pid" {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("specifying \"%s=%s\" is not allowed", m[1], m[2]))
		}
	}
	return strings.Split(s, " "), nil
}

// List runs ps and keeps the lines of pids. Its own words tell what it did not
// like.
func List(ctx context.Context, options []string, pids []int) (ctypes.TopResponse, error) {
	// -q lets ps look at these processes only, on a host that may have many.
	out, err := run(ctx, append(slices.Clone(options), "-q"+join(pids)))
	if err != nil {
		// Some options (f among them) do not go together with it.
		if out, err = run(ctx, options); err != nil {
			return ctypes.TopResponse{}, err
		}
	}
	return parse(out, pids)
}

func join(pids []int) string {
	s := make([]string, len(pids))
	for i, p := range pids {
		s[i] = strconv.Itoa(p)
	}
	return strings.Join(s, ",")
}

func run(ctx context.Context, args []string) (string, error) {
	var out, complaint bounded
	cmd := exec.CommandContext(ctx, "ps", args...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	switch {
	case out.cut:
		return "", fmt.Errorf("ps: its output is larger than %d bytes", maxOutput)
	case errors.As(err, new(*exec.ExitError)):
		if line, _, _ := strings.Cut(complaint.String(), "\n"); line != "" {
			return "", errors.New(line)
		}
	}
	if err != nil {
		return "", fmt.Errorf("ps: %w", err)
	}
	return out.String(), nil
}

// bounded keeps the first maxOutput bytes.
type bounded struct {
	bytes.Buffer
	cut bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxOutput {
		b.cut = true
		return 0, errors.New("too much output")
	}
	return b.Buffer.Write(p)
}

// parse keeps the titles and the lines of pids. With the option m a process is
// followed by its threads, which have "-" for a PID.
func parse(out string, pids []int) (ctypes.TopResponse, error) {
	head, rest, _ := strings.Cut(out, "\n")
	list := ctypes.TopResponse{Titles: fields(head), Processes: [][]string{}}
	at := slices.Index(list.Titles, "PID")
	if at < 0 {
		return ctypes.TopResponse{}, errors.New("couldn't find PID field in ps output")
	}
	mine := false // the process that the lines are about
	for line := range strings.SplitSeq(rest, "\n") {
		f := fields(line)
		if len(f) <= at {
			continue
		}
		if f[at] != "-" {
			pid, err := strconv.Atoi(f[at])
			if err != nil {
				return ctypes.TopResponse{}, fmt.Errorf("unexpected pid '%s': %w", f[at], err)
			}
			mine = slices.Contains(pids, pid)
		}
		if mine {
			list.Processes = append(list.Processes, row(f, len(list.Titles)))
		}
	}
	return list, nil
}

// row has one field a title: the last, a command line, takes what is left.
func row(f []string, titles int) []string {
	if len(f) < titles {
		return f
	}
	last := titles - 1
	return append(f[:last:last], strings.Join(f[last:], " "))
}

// fields splits at ASCII space only, as ps does: names of commands may have
// other kinds.
func fields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("\t\n\f\r ", r) })
}
