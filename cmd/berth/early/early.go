// Package early gives the process to berth-all when the arguments are for that program.
// It does so while packages are initialized: those of docker/cli, which come later, take
// longer than the rest of it. It may therefore import next to nothing.
package early

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// All is the program that has all commands.
const All = "berth-all"

// Verbs are the commands of berth itself. They are found by the first argument alone: a
// flag before it is for berth-all to read.
var Verbs = []string{
	"attach", "commit", "container", "cp", "create", "diff", "exec", "export", "kill", "logs", "pause", "port", "ps",
	"rename", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause", "update", "wait",
	"history", "images", "import", "load", "pull", "push", "rmi", "save", "tag",
	"network", "volume",
}

// Verb is the command that args, a process's arguments, name, if berth has it.
func Verb(args []string) (verb string, ok bool) {
	if len(args) < 2 || !slices.Contains(Verbs, args[1]) {
		return "", false
	}
	return args[1], true
}

// tried is why no program took the process.
var tried = give()

// give returns if the command is berth's own, or if there is no program to give it to:
// main says so.
func give() (tried []error) {
	if _, ok := Verb(os.Args); ok {
		return nil
	}
	for _, path := range places() {
		tried = append(tried, &os.PathError{Op: "exec", Path: path, Err: syscall.Exec(path, os.Args, syscall.Environ())})
	}
	return tried
}

// places are where berth-all may be: beside this program, or where packages have it.
func places() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	dir := filepath.Dir(self)
	return []string{filepath.Join(dir, All), filepath.Join(dir, "../libexec/berth", All)}
}

// Missing is the message of a process that no program took.
func Missing(name string) string {
	message := name + ": this command is one of " + All + ", which cannot be executed:\n"
	for _, err := range tried {
		message += "  " + err.Error() + "\n"
	}
	return message
}
