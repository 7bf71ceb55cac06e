package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
)

// eventSteps are commands for a client, after each of which nothing goes on any more;
// "wait" is part of a step whose end comes by itself.
var eventSteps = []string{
	"create --name a " + image + " sleep 1000",
	"start a",
	"exec a true",
	"exec -d a true",
	"pause a",
	"unpause a",
	"rename a b",
	"update --memory 64m --memory-swap 64m b",
	"kill -s USR1 b",
	"top b",
	"restart -t 0 b",
	"stop -t 0 b",
	"start b",
	"kill b; wait b",
	"export -o /dev/null b",
	"commit b made:v1",
	"rm b",
	"run --rm " + image + " true",
	"run --name c --restart on-failure:1 -d " + image + " sh -c 'exit 3'; wait c",
	"run --name d -d " + image + " sleep 1000",
	"rm -f d",
	"create --name e " + image,
	"rm e",
	"run --rm --network none " + image + " true",
	"run --name f " + image + " nope",
	"container prune -f",
}

// TestEventOrder does the same to Debian's dockerd and to berthd, and compares what each
// says has happened, and in which order.
func TestEventOrder(t *testing.T) {
	t.Parallel()
	dockerd := harness.StartDockerd(t, harness.NewOtherHost(t))
	dockerd.Docker("load", "-q", "-i", sample)
	d := start(t, harness.Options{})
	docker := clients(t)["docker"]
	engines := map[string]func(args ...string) string{
		"dockerd": func(args ...string) string {
			return d.Client(docker, nil, append([]string{"-H", "unix://" + dockerd.Socket()}, args...)...).Stdout
		},
		"berthd": func(args ...string) string { return d.Client(docker, nil, args...).Stdout },
	}
	happened := map[string][]string{}
	for name, run := range engines {
		for _, step := range eventSteps {
			began := time.Now().Format(time.RFC3339Nano)
			for line := range strings.SplitSeq(step, "; ") {
				run(words(line)...)
			}
			var seen []string
			await(t, "nothing goes on", func() bool {
				now := strings.Split(run("events", "--since", began, "--until", time.Now().Format(time.RFC3339Nano), "--format", "{{.Type}} {{.Action}}"), "\n")
				same := slices.Equal(seen, now)
				seen = now
				return same
			})
			happened[name] = append(happened[name], fmt.Sprintf("%s: %s", step, strings.Trim(strings.Join(seen, ", "), ", ")))
		}
	}
	for i, theirs := range happened["dockerd"] {
		if ours := happened["berthd"][i]; ours != theirs {
			t.Errorf("dockerd: %s\nberthd:  %s", theirs, ours)
		}
	}
}
