package root

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// dockerWord finds "docker" as a word that names the program or the engine.
// Not so: parts of paths, addresses and flags, and the phrases of the third
// group, which are names of something else.
var dockerWord = regexp.MustCompile(`(^|[^-./\w])([Dd]ocker)( Hub| image| Inc| Desktop| Compose| Buildx| endpoint| content trust|-compatible)?\b`)

// inBerthsWords names Berth where docker/cli's text names Docker.
func inBerthsWords(s string) string {
	if !strings.Contains(s, "ocker") {
		return s
	}
	return dockerWord.ReplaceAllStringFunc(s, func(match string) string {
		part := dockerWord.FindStringSubmatch(match)
		switch {
		case part[3] != "":
			return match
		case part[2] == "Docker":
			return part[1] + "Berth"
		default:
			return part[1] + "berth"
		}
	})
}

// rewordHelp changes what the help of cmd shows: its own text, the flags, and
// the line of each command below it.
func rewordHelp(cmd *cobra.Command) {
	flags := func(f *pflag.Flag) { f.Usage = inBerthsWords(f.Usage) }
	if cmd.HasParent() { // the root's text is ours
		cmd.Long = inBerthsWords(cmd.Long)
		cmd.Short = inBerthsWords(cmd.Short)
		cmd.Example = inBerthsWords(cmd.Example)
	}
	if a, ok := cmd.Annotations["aliases"]; ok {
		cmd.Annotations["aliases"] = inBerthsWords(a)
	}
	cmd.Flags().VisitAll(flags)
	cmd.PersistentFlags().VisitAll(flags)
	for _, sub := range cmd.Commands() {
		sub.Short = inBerthsWords(sub.Short)
	}
}
