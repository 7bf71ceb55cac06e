package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
)

// verbCase gives flags of a verb, in the order of the list: a case finds what those
// before it left.
type verbCase struct {
	verb   string
	flags  string // the long names of the flags that it shows
	args   string // of the verb; FILE is a place of the test's, NOW the time
	stdin  string
	prints string // a regular expression for what the client prints
	code   int

	then, want string // a second command, and an expression for what it prints in the end
}

// verbElsewhere are flags that need a terminal, or more than a line, to be shown.
var verbElsewhere = map[string]map[string]func(*testing.T){
	"exec":   {"detach-keys": TestTerminal},
	"start":  {"detach-keys": TestTerminal, "checkpoint": TestBadOptions, "checkpoint-dir": TestBadOptions},
	"attach": {"detach-keys": TestTerminal, "sig-proxy": TestSignals, "no-stdin": TestSignals},
}

// trapping prints a line on each stream, and says which signals it gets.
const trapping = `trap 'echo got QUIT' QUIT; trap 'echo got USR1' USR1; trap 'exit 5' TERM; echo out; echo err >&2; while :; do sleep 0.02; done`

var verbCases = []verbCase{
	{verb: "exec", flags: "detach", args: "-d box sh -c 'echo detached >/made'", prints: `^$`, then: "exec box cat /made", want: "^detached$"},
	{verb: "exec", flags: "env", args: "-e A=b box sh -c 'echo $A'", prints: `^b$`},
	{verb: "exec", flags: "env-file", args: "--env-file FILE box sh -c 'echo $FROM'", prints: `^file$`},
	{verb: "exec", flags: "interactive", args: "-i box cat", stdin: "typed", prints: `^typed$`},
	{verb: "exec", flags: "privileged", args: "--privileged box grep CapEff /proc/self/status", prints: `ffff$`},
	{verb: "exec", flags: "tty", args: "-t box tty", prints: `^/dev/pts/0\s*$`},
	{verb: "exec", flags: "user", args: "-u 12:34 box id", prints: `uid=12 gid=34`},
	{verb: "exec", flags: "workdir", args: "-w /etc box pwd", prints: `^/etc$`},

	{verb: "kill", flags: "signal", args: "-s USR1 box", prints: `^box$`, then: "logs box", want: "got USR1"},
	{verb: "restart", flags: "signal timeout", args: "-s TERM -t 50 box", prints: `^box$`, then: "logs box", want: `(?s)out.*out`},
	{verb: "restart", flags: "time", args: "--time 0 box", prints: `box$`, then: "inspect -f {{.State.Status}} box", want: "^running$"},
	{verb: "stop", flags: "signal timeout", args: "-s QUIT -t 0 box", prints: `^box$`, then: "inspect -f {{.State.ExitCode}} box", want: "^137$"},
	{verb: "start", flags: "attach", args: "-a brief", prints: `^printed$`},
	{verb: "start", flags: "attach interactive", args: "-ai echoing", stdin: "typed", prints: `^typed$`},
	{verb: "start", flags: "", args: "box", prints: `^box$`},
	{verb: "stop", flags: "time", args: "--time 50 box", prints: `box$`, then: "inspect -f {{.State.ExitCode}} box", want: "^5$"},
	{verb: "start", flags: "", args: "box", prints: `^box$`},

	{verb: "logs", flags: "tail", args: "-n 1 brief", prints: `^printed$`},
	{verb: "logs", flags: "timestamps", args: "-t brief", prints: `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z printed$`},
	{verb: "logs", flags: "details", args: "--details labelled", prints: `^team=blue printed$`},
	{verb: "logs", flags: "since", args: "--since 2100-01-01T00:00:00Z brief", prints: `^$`},
	{verb: "logs", flags: "until", args: "--until 2000-01-01T00:00:00Z brief", prints: `^$`},
	{verb: "logs", flags: "follow", args: "-f --since 0 brief", prints: `printed$`},

	{verb: "ps", flags: "all", args: "-a", prints: `(?s)CONTAINER ID.*brief`},
	{verb: "ps", flags: "quiet no-trunc", args: "-q --no-trunc", prints: `^[0-9a-f]{64}\n[0-9a-f]{64}$`},
	{verb: "ps", flags: "filter format", args: "-a --filter name=brief --format {{.Names}}", prints: `^brief$`},
	{verb: "ps", flags: "last", args: "-n 1 --format {{.Names}}", prints: `^labelled$`},
	{verb: "ps", flags: "latest", args: "-l --format {{.Names}}", prints: `^labelled$`},
	{verb: "ps", flags: "size", args: "-s --format {{.Size}}", prints: `virtual`},

	{verb: "stats", flags: "no-stream all format", args: "-a --no-stream --format {{.Name}}", prints: `(?s)box.*brief|brief.*box`},
	{verb: "stats", flags: "no-trunc", args: "--no-stream --no-trunc", prints: `[0-9a-f]{64}`},
	{verb: "inspect", flags: "format size", args: "-s -f {{.SizeRootFs}} brief", prints: `^\d+$`},
	{verb: "inspect", flags: "type", args: "--type container box", prints: `"Name": "/box"`},
	{verb: "container inspect", flags: "format size", args: "-s -f {{.SizeRw}} brief", prints: `^\d+$`},
	{verb: "events", flags: "since until filter format", args: "--since 10m --until NOW --filter container=brief --filter event=create --format {{.Action}}", prints: `^create$`},

	{verb: "update", flags: "cpu-period cpu-quota cpu-shares cpuset-cpus cpuset-mems", args: "--cpu-period 50000 --cpu-quota 20000 -c 512 --cpuset-cpus 0 --cpuset-mems 0 box", prints: `^box$`,
		then: "exec box sh -c 'cd /sys/fs/cgroup; cat cpu/cpu.cfs_period_us cpu/cpu.cfs_quota_us cpu/cpu.shares cpuset/cpuset.cpus cpuset/cpuset.mems'", want: "^50000\n20000\n512\n0\n0$"},
	{verb: "update", flags: "memory memory-swap memory-reservation pids-limit", args: "-m 64m --memory-swap 80m --memory-reservation 32m --pids-limit 50 box", prints: `^box$`,
		then: "exec box sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory/memory.soft_limit_in_bytes pids/pids.max'", want: "^67108864\n83886080\n33554432\n50$"},
	{verb: "update", flags: "cpu-rt-period", args: "--cpu-rt-period 900000 box", prints: `^box$`, then: "exec box cat /sys/fs/cgroup/cpu/cpu.rt_period_us", want: "^900000$"},
	{verb: "update", flags: "cpu-rt-runtime", args: "--cpu-rt-runtime 1000 box", prints: `cpu.rt_runtime_us: invalid argument`, code: 1},
	{verb: "update", flags: "blkio-weight", args: "--blkio-weight 300 box", prints: `^box`, then: "inspect -f {{.HostConfig.BlkioWeight}} box", want: "^(300|0)$"},
	{verb: "update", flags: "kernel-memory", args: "--kernel-memory 10m box", prints: `box$`},
	{verb: "update", flags: "restart", args: "--restart on-failure:3 box", prints: `^box$`, then: "inspect -f {{.HostConfig.RestartPolicy}} box", want: "^{on-failure 3}$"},
	{verb: "update", flags: "cpus", args: "--cpus 0.5 limitless", prints: `^limitless$`, then: "inspect -f {{.HostConfig.NanoCpus}} limitless", want: "^500000000$"},

	{verb: "rm", flags: "link", args: "-l child/alias", prints: `^child/alias$`, then: "inspect -f {{.HostConfig.Links}} child", want: `^\[\]$`},
	{verb: "rm", flags: "force volumes", args: "-f -v child", prints: `^child$`, then: "volume ls -q", want: "^$"},
	{verb: "container prune", flags: "force filter", args: "-f --filter label=team", prints: `Deleted Containers:`, then: "ps -a --format {{.Names}}", want: "brief"},
}

// TestVerbFlags gives each flag of every other verb of containers. A flag that docker/cli
// gets and this list does not fails it.
func TestVerbFlags(t *testing.T) {
	t.Parallel()
	listed := map[string][]string{"pause": nil, "unpause": nil, "wait": nil, "rename": nil, "top": nil, "port": nil}
	for _, c := range verbCases {
		for flag := range strings.FieldsSeq(c.flags) {
			if !slices.Contains(listed[c.verb], flag) {
				listed[c.verb] = append(listed[c.verb], flag)
			}
		}
	}
	for verb, flags := range verbElsewhere {
		for flag := range flags {
			listed[verb] = append(listed[verb], flag)
		}
	}
	for verb, flags := range listed {
		sameFlags(t, verb, flags)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("FROM=file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "box", image, "sh", "-c", trapping).OK(t)
	d.Berth("create", "--name", "brief", image, "echo", "printed").OK(t)
	d.Berth("create", "--name", "echoing", "-i", image, "cat").OK(t)
	d.Berth("create", "--name", "limitless", image).OK(t)
	d.Berth("run", "-d", "--name", "child", "--link", "box:alias", "-v", "/data", image, "sleep", "100000").OK(t)
	d.Berth("run", "--name", "labelled", "--label", "team=blue", "--log-opt", "labels=team", image, "echo", "printed").OK(t)
	await(t, "the traps are set", func() bool { return strings.Contains(d.Berth("logs", "box").Stderr, "err") })
	for _, c := range verbCases {
		t.Run(strings.ReplaceAll(c.verb+" "+c.flags, " ", "_"), func(t *testing.T) { c.check(t, d, file) })
	}
}

func (c verbCase) check(t *testing.T, d *harness.Daemon, file string) {
	here := strings.NewReplacer("FILE", file, "NOW", time.Now().Format(time.RFC3339Nano))
	r := d.Client(harness.BerthCLI(), strings.NewReader(c.stdin), append(strings.Fields(c.verb), words(here.Replace(c.args))...)...)
	out := strings.TrimSpace(r.Stdout)
	if c.code != 0 {
		out += r.Stderr
	}
	if r.Code != c.code || !regexp.MustCompile(c.prints).MatchString(out) {
		t.Errorf("exit code %d: %q %q", r.Code, out, r.Stderr)
	}
	if c.then == "" {
		return
	}
	want, got := regexp.MustCompile(c.want), ""
	defer func() {
		if t.Failed() {
			t.Logf("%s: %q", c.then, got)
		}
	}()
	await(t, c.then+" shows "+c.want, func() bool {
		r := d.Berth(words(c.then)...)
		got = strings.TrimSpace(r.Stdout)
		return want.MatchString(got)
	})
}

// word is one of a line: quotes hold what has blanks.
var word = regexp.MustCompile(`'[^']*'|\S+`)

func words(line string) []string {
	all := word.FindAllString(line, -1)
	for i, w := range all {
		all[i] = strings.Trim(w, "'")
	}
	return all
}
