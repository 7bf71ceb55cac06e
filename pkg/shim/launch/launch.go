// Package launch is what containerd executes to start a shim, and to clean up after one.
// Both are done beside the shim, in a program that has next to nothing in it: the shim's
// own takes 6 ms of processor time before its main begins, for what it is linked with.
//
// It does what upstream's shim manager does for the usual case (containerd
// cmd/containerd-shim-runc-v2/manager). Whatever else there is to do is left to the shim's
// program, which has upstream's manager: Run executes it in its own place.
package launch

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Program is the shim's own, in the folder of the one that launches it.
const Program = "containerd-shim-berth-task"

// errUnusual says that upstream's manager is to do it.
var errUnusual = errors.New("not for the launcher")

// action is what containerd asks for by its command line (containerd
// core/runtime/v2, command).
type action struct {
	namespace, id, address string
	debug                  bool
	name                   string // "start", "delete"
}

// Run does what the process was executed for. It returns the status to exit with.
func Run() int {
	input, err := run(os.Args, os.Stdin, os.Stdout)
	if errors.Is(err, errUnusual) {
		err = become(Program, input)
	}
	if err != nil {
		_, _ = os.Stderr.WriteString("io.containerd.berth.v2: " + err.Error())
		return 1
	}
	return 0
}

// run returns what it has read of in, for the next to read.
func run(args []string, in io.Reader, out io.Writer) (input []byte, err error) {
	a, err := parse(args[1:])
	if err != nil {
		return nil, err
	}
	var answer []byte
	switch a.name {
	case "start":
		if input, err = io.ReadAll(io.LimitReader(in, maxParams)); err != nil {
			return nil, err
		}
		answer, err = start(a, args[0], input)
	case "delete":
		answer, err = clean(a.id)
	default:
		err = errUnusual
	}
	if err == nil {
		_, err = out.Write(answer)
	}
	return input, err
}

// parse reads the flags that containerd sets; others are upstream's to judge.
func parse(args []string) (action, error) {
	var a action
	f := flag.NewFlagSet("", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&a.namespace, "namespace", "", "")
	f.StringVar(&a.id, "id", "", "")
	f.StringVar(&a.address, "address", "", "")
	f.BoolVar(&a.debug, "debug", false, "")
	f.String("publish-binary", "", "")
	f.String("bundle", "", "")
	if err := f.Parse(args); err != nil || f.NArg() != 1 || a.namespace == "" || a.id == "" {
		return action{}, errUnusual
	}
	a.name = f.Arg(0)
	return a, nil
}

// sibling is the path of a program in this one's folder.
func sibling(name string) (string, error) {
	self, err := os.Executable()
	return filepath.Join(filepath.Dir(self), name), err
}

// become executes a program in place of this one, with input to read.
func become(program string, input []byte) error {
	path, err := sibling(program)
	if err != nil {
		return err
	}
	if input != nil {
		if err := stdin(input); err != nil {
			return err
		}
	}
	return unix.Exec(path, append([]string{path}, os.Args[1:]...), os.Environ())
}

// stdin makes input what is read next.
func stdin(input []byte) error {
	fd, err := unix.MemfdCreate("stdin", 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "stdin")
	if _, err := f.Write(input); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return unix.Dup3(fd, 0, 0)
}
