package few

import (
	"testing"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/berth-engine/berth/cmd/berth/early"
	"github.com/berth-engine/berth/cmd/berth/root"
	"github.com/berth-engine/berth/cmd/berth/whole"
)

// What berth has of a command is what berth-all has of it.
func TestPartOfWhole(t *testing.T) {
	dockerCLI, err := command.NewDockerCli()
	if err != nil {
		t.Fatal(err)
	}
	all, _ := whole.New(dockerCLI, root.Berth)
	for _, verb := range early.Verbs {
		tree, _ := New(verb)(dockerCLI, root.Berth)
		got, _, err := tree.Find([]string{verb})
		if err != nil {
			t.Errorf("%s: %v", verb, err)
			continue
		}
		want, _, err := all.Find([]string{verb})
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	}
}

// same compares what can be seen of two commands, and of those below them.
func same(t *testing.T, got, want *cobra.Command) {
	t.Helper()
	if got.CommandPath() != want.CommandPath() || got.Use != want.Use || got.Short != want.Short || got.Long != want.Long {
		t.Errorf("%q, %q: want %q, %q", got.CommandPath(), got.Short, want.CommandPath(), want.Short)
	}
	if g, w := flags(got), flags(want); g != w {
		t.Errorf("%s has the flags\n%swant\n%s", got.CommandPath(), g, w)
	}
	subs := want.Commands()
	if len(got.Commands()) != len(subs) {
		t.Fatalf("%s has %d commands, want %d", got.CommandPath(), len(got.Commands()), len(subs))
	}
	for i, sub := range got.Commands() {
		same(t, sub, subs[i])
	}
}

func flags(c *cobra.Command) (all string) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		all += "--" + f.Name + " -" + f.Shorthand + " " + f.Value.Type() + " " + f.DefValue + " " + f.Usage + "\n"
	})
	return all
}
