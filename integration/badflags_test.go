package integration

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	"github.com/spf13/pflag"
)

// badFlag gives a flag what it cannot be.
type badFlag struct {
	verb, flag string
	value      string // quotes hold blanks; a further option may follow
	message    string // a part of what the client says
	code       int    // of run 125 if 0, of others 1
}

// badFlags has a case for every flag that takes a value and does not take any.
var badFlags = []badFlag{
	{"run", "add-host", "nowhere", `bad format for add-host: "nowhere"`, 0},
	{"run", "annotation", "=x", "invalid Annotations: the empty string is not permitted as an annotation key", 0},
	{"run", "attach", "nowhere", `invalid argument "nowhere" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR`, 0},
	{"run", "blkio-weight", "5000000", `invalid argument "5000000" for "--blkio-weight" flag`, 0},
	{"run", "blkio-weight-device", "loop0:300", "bad format for device path: loop0:300", 0},
	{"run", "cap-add", "NOPE", `invalid CapAdd: unknown capability: "CAP_NOPE"`, 0},
	{"run", "cap-drop", "NOPE", `invalid CapDrop: unknown capability: "CAP_NOPE"`, 0},
	{"run", "cgroupns", "maybe", "--cgroupns: invalid CGROUP mode", 0},
	{"run", "cidfile", "/etc/passwd", "container ID file found, make sure the other container isn't running or delete /etc/passwd", 0},
	{"run", "cpu-period", "10", "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)", 0},
	{"run", "cpu-quota", "10", "CPU cfs quota can not be less than 1ms (i.e. 1000)", 0},
	{"run", "cpu-rt-period", "1000 --cpu-rt-runtime 2000", "cpu real-time runtime cannot be higher than cpu real-time period", 0},
	{"run", "cpu-rt-runtime", "x", `invalid argument "x" for "--cpu-rt-runtime" flag`, 0},
	{"run", "cpu-shares", "-1", "invalid CPU shares (-1): value must be a positive integer", 0},
	{"run", "cpus", "1000", "range of CPUs is from 0.01 to ", 0},
	{"run", "cpuset-cpus", "a", "Invalid value a for cpuset cpus", 0},
	{"run", "cpuset-mems", "99", "Requested memory nodes are not available - requested 99, available: ", 0},
	{"run", "detach-keys", "nonsense", `invalid detach keys (nonsense)`, 1},
	{"run", "device", "/no/such", "error gathering device information while adding custom device \"/no/such\": no such file or directory", 127}, // by the words, as of a program
	{"run", "device-cgroup-rule", "'z 1:3 r'", `invalid argument "z 1:3 r" for "--device-cgroup-rule" flag: invalid device cgroup format 'z 1:3 r'`, 0},
	{"run", "device-read-bps", "/dev/loop0:fast", "invalid rate for device: /dev/loop0:fast", 0},
	{"run", "device-read-iops", "/dev/loop0:-1", "invalid rate for device: /dev/loop0:-1", 0},
	{"run", "device-write-bps", "loop0:1mb", "bad format for device path: loop0:1mb", 0},
	{"run", "device-write-iops", "/dev/loop0", "bad format: /dev/loop0", 0},
	{"run", "dns", "somewhere", `invalid argument "somewhere" for "--dns" flag: IP address is not correctly formatted: somewhere`, 0},
	{"run", "dns-search", "a..b", "a..b is not a valid domain", 0},
	{"run", "entrypoint", "/no/such", `exec: "/no/such": stat /no/such: no such file or directory`, 127},
	{"run", "env", "=x", "invalid environment variable: =x", 0},
	{"run", "env-file", "/no/such", "open /no/such: no such file or directory", 0},
	{"run", "expose", "99999", "invalid range format for --expose: invalid start port '99999': value out of range", 0},
	{"run", "gpus", "count=x", `invalid argument "count=x" for "--gpus" flag`, 0},
	{"run", "group-add", "nobodyknows", "unable to find group nobodyknows: no matching entries in group file", 0},
	{"run", "health-interval", "1us --health-cmd x", "Interval in Healthcheck cannot be less than 1ms", 0},
	{"run", "health-retries", "-1 --health-cmd x", "--health-retries cannot be negative", 0},
	{"run", "health-start-interval", "1us --health-cmd x", "StartInterval in Healthcheck cannot be less than 1ms", 0},
	{"run", "health-start-period", "1us --health-cmd x", "StartPeriod in Healthcheck cannot be less than 1ms", 0},
	{"run", "health-timeout", "1us --health-cmd x", "Timeout in Healthcheck cannot be less than 1ms", 0},
	{"run", "hostname", "h --network container:made", "conflicting options: hostname and the network mode", 0},
	{"run", "ip", "10.1.1.1.1", `invalid argument "10.1.1.1.1" for "--ip" flag: failed to parse IP: "10.1.1.1.1"`, 0},
	{"run", "ip6", "fd00::x", `invalid argument "fd00::x" for "--ip6" flag: failed to parse IP: "fd00::x"`, 0},
	{"run", "ipc", "maybe", "invalid IPC mode: maybe", 0},
	{"run", "isolation", "hyperv", "invalid isolation (hyperv): linux only supports 'default'", 0},
	{"run", "kernel-memory", "much", `invalid argument "much" for "--kernel-memory" flag: invalid size: 'much'`, 0},
	{"run", "label", "=x", "invalid label '=x': empty name", 0},
	{"run", "label-file", "/no/such", "open /no/such: no such file or directory", 0},
	{"run", "link", "nobody", "could not get container for nobody: No such container: nobody", 0},
	{"run", "log-driver", "nope", "no log driver named 'nope' is registered", 0},
	{"run", "log-opt", "max-size=much", "invalid size: 'much'", 0},
	{"run", "mac-address", "02:42", "02:42 is not a valid mac address", 0},
	{"run", "memory", "1m", "Minimum memory limit allowed is 6MB", 0},
	{"run", "memory-reservation", "1m", "Minimum memory reservation allowed is 6MB", 0},
	{"run", "memory-swap", "1g", "You should always set the Memory limit when using Memoryswap limit, see usage", 0},
	{"run", "memory-swappiness", "101", "invalid value: 101. Valid memory swappiness range is 0-100", 0},
	{"run", "mount", "type=nope,target=/x", "mount type unknown", 0},
	{"run", "name", "-bad", "Invalid container name (-bad), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", 0},
	{"run", "network", "nope", "network nope not found", 0},
	{"run", "net", "container:", "invalid container format container:<name|id>", 0},
	{"run", "net-alias", "x --network host", "network-scoped aliases are only supported for user-defined networks", 0},
	{"run", "network-alias", "x --network none", "network-scoped aliases are only supported for user-defined networks", 0},
	{"run", "oom-score-adj", "2000", "Invalid value 2000, range for oom score adj is [-1000, 1000]", 0},
	{"run", "pid", "maybe", "--pid: invalid PID mode", 0},
	{"run", "pids-limit", "many", `invalid argument "many" for "--pids-limit" flag`, 0},
	{"run", "platform", "linux/nope/x/y", `"linux/nope/x/y": cannot parse platform specifier: invalid argument`, 0},
	{"run", "publish", "99999", "invalid containerPort: 99999", 0},
	{"run", "pull", "perhaps", "invalid pull option: 'perhaps': must be one of \"always\", \"missing\" or \"never\"", 0},
	{"run", "restart", "maybe", "unknown policy 'maybe'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", 0},
	{"run", "runtime", "nope", "unknown or invalid runtime name: nope", 0},
	{"run", "security-opt", "nope=1", `invalid --security-opt 2: "nope=1"`, 0},
	{"run", "shm-size", "much", `invalid argument "much" for "--shm-size" flag: invalid size: 'much'`, 0},
	{"run", "stop-signal", "NOPE", "invalid signal: NOPE", 0},
	{"run", "stop-timeout", "soon", `invalid argument "soon" for "--stop-timeout" flag`, 0},
	{"run", "storage-opt", "size=1G", "--storage-opt is not supported", 0},
	{"run", "sysctl", "vm.swappiness=1", "sysctl 'vm.swappiness=1' is not allowed", 0},
	{"run", "tmpfs", "x", "mount path must be absolute", 0},
	{"run", "ulimit", "nope=1", "invalid ulimit type: nope", 0},
	{"run", "user", "nobodyknows", "unable to find user nobodyknows: no matching entries in passwd file", 0},
	{"run", "userns", "maybe", "--userns: invalid USER mode", 0},
	{"run", "uts", "maybe", "--uts: invalid UTS mode", 0},
	{"run", "volume", "a:b:c:d", "invalid volume specification: 'a:b:c:d'", 0},
	{"run", "volume-driver", "nope -v a:/x", "error looking up volume plugin nope", 0},
	{"run", "volumes-from", "nobody", "No such container: nobody", 0},
	{"run", "workdir", "relative", "the working directory 'relative' is invalid, it needs to be an absolute path", 0},
	{"run", "cpu-count", "1", "only supported on a Docker daemon running on windows", 1},
	{"run", "cpu-percent", "1", "only supported on a Docker daemon running on windows", 1},
	{"run", "io-maxbandwidth", "1m", "only supported on a Docker daemon running on windows", 1},
	{"run", "io-maxiops", "1", "only supported on a Docker daemon running on windows", 1},

	{"start", "detach-keys", "nonsense -a", "invalid detach keys (nonsense)", 0},
	{"exec", "detach-keys", "nonsense -it", "invalid detach keys (nonsense)", 0},
	{"exec", "env", "=x", "invalid environment variable: =x", 125},
	{"exec", "env-file", "/no/such", "open /no/such: no such file or directory", 0},
	{"exec", "user", "nobodyknows", "unable to find user nobodyknows: no matching entries in passwd file", 0},
	{"exec", "workdir", "relative", "OCI runtime exec failed: exec failed: Cwd must be an absolute path", 128},

	{"update", "blkio-weight", "heavy", `invalid argument "heavy" for "--blkio-weight" flag`, 125},
	{"update", "cpu-period", "10", "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)", 0},
	{"update", "cpu-quota", "10", "CPU cfs quota can not be less than 1ms (i.e. 1000)", 0},
	{"update", "cpu-rt-period", "1000 --cpu-rt-runtime 2000", "cpu real-time runtime cannot be higher than cpu real-time period", 0},
	{"update", "cpu-rt-runtime", "x", `invalid argument "x" for "--cpu-rt-runtime" flag`, 125},
	{"update", "cpu-shares", "-1", "invalid CPU shares (-1): value must be a positive integer", 0},
	{"update", "cpus", "1000", "range of CPUs is from 0.01 to ", 0},
	{"update", "cpuset-cpus", "99", "Requested CPUs are not available - requested 99, available: ", 0},
	{"update", "cpuset-mems", "a", "Invalid value a for cpuset mems", 0},
	{"update", "kernel-memory", "much", `invalid argument "much" for "--kernel-memory" flag: invalid size: 'much'`, 125},
	{"update", "memory", "1m", "Minimum memory limit allowed is 6MB", 0},
	{"update", "memory-reservation", "1m", "Minimum memory reservation allowed is 6MB", 0},
	{"update", "memory-swap", "much", `invalid argument "much" for "--memory-swap" flag: invalid size: 'much'`, 125},
	{"update", "pids-limit", "many", `invalid argument "many" for "--pids-limit" flag`, 125},
	{"update", "restart", "maybe", "unknown policy 'maybe'", 0},

	{"stop", "signal", "NOPE", "invalid signal: NOPE", 0},
	{"stop", "time", "soon", `invalid argument "soon" for "--time" flag`, 125},
	{"stop", "timeout", "soon", `invalid argument "soon" for "-t, --timeout" flag`, 125},
	{"restart", "signal", "NOPE", "invalid signal: NOPE", 0},
	{"restart", "time", "soon", `invalid argument "soon" for "--time" flag`, 125},
	{"restart", "timeout", "soon", `invalid argument "soon" for "-t, --timeout" flag`, 125},
	{"kill", "signal", "NOPE", "invalid signal: NOPE", 0},
	{"logs", "since", "yesterday", `invalid value for "since"`, 0},
	{"logs", "until", "tomorrow", `invalid value for "until"`, 0},
	{"attach", "detach-keys", "nonsense", "invalid detach keys (nonsense)", 0},
	{"ps", "filter", "status=x", "invalid filter 'status=x'", 0},
	{"ps", "format", "{{.Nope}}", "can't evaluate field Nope", 0},
	{"ps", "last", "few", `invalid argument "few" for "-n, --last" flag`, 125},
	{"events", "filter", "nope", `invalid argument "nope" for "-f, --filter" flag: bad format of filter (expected name=value)`, 125},
	{"events", "format", "{{.Nope", "Error parsing format: template: :1: unclosed action", 64},
	{"events", "since", "yesterday", `failed to parse value as time or duration: "yesterday"`, 0},
	{"events", "until", "tomorrow", `failed to parse value as time or duration: "tomorrow"`, 0},
	{"stats", "format", "{{.Nope}} --no-stream", "can't evaluate field Nope", 0},
	{"inspect", "format", "{{.Nope}}", `map has no entry for key "Nope"`, 0},
	{"inspect", "type", "nope", `unknown type: "nope": must be one of "config", "container", "image"`, 0},
	{"container prune", "filter", "nope=x -f", "invalid filter 'nope'", 0},
}

// anyValue are flags that take whatever is said, as Docker's do: text for files and
// shells, a path that is cleaned, and what the client leaves out or reads otherwise.
var anyValue = map[string][]string{
	"run":   {"cgroup-parent", "dns-opt", "dns-option", "domainname", "health-cmd", "link-local-ip"},
	"logs":  {"tail"},                         // all of it
	"start": {"checkpoint", "checkpoint-dir"}, // TestBadOptions has them refused
}

// valued names the flags of a command that take a value.
func valued(t *testing.T, verb string) (flags []string) {
	t.Helper()
	visitFlags(t, func(f *pflag.Flag) {
		if f.Value.Type() != "bool" {
			flags = append(flags, f.Name)
		}
	}, strings.Fields(verb)...)
	return flags
}

// TestBadFlags gives each flag that takes a value what it cannot be. A flag of docker/cli
// that is not listed fails it.
func TestBadFlags(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"create", "run", "start", "exec", "update", "stop", "kill", "wait", "logs", "ps", "events", "attach", "top", "stats", "rename", "restart", "rm", "inspect", "port", "pause", "unpause", "container prune"} {
		as := verb
		if verb == "create" {
			as = "run" // which has all of them: TestFlags
		}
		for _, flag := range valued(t, verb) {
			listed := slices.ContainsFunc(badFlags, func(b badFlag) bool { return b.verb == as && b.flag == flag })
			if listed == slices.Contains(anyValue[as], flag) {
				t.Errorf("%s --%s: listed: %v", verb, flag, listed)
			}
		}
	}
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "box", image, "sleep", "100000").OK(t)
	d.Berth("create", "--name", "made", image).OK(t)
	before := d.Berth("ps", "-aq", "--no-trunc").OK(t) + d.Berth("volume", "ls", "-q").OK(t)
	for _, b := range badFlags {
		t.Run(b.verb+"_"+b.flag, func(t *testing.T) { b.check(t, d) })
	}
	if after := d.Berth("ps", "-aq", "--no-trunc").OK(t) + d.Berth("volume", "ls", "-q").OK(t); after != before {
		t.Errorf("left: %s", after)
	}
}

func (b badFlag) check(t *testing.T, d *harness.Daemon) {
	args := strings.Fields(b.verb)
	want := b.code
	if b.verb == "run" {
		args = append(args, "--rm")
		if b.flag == "restart" {
			args = args[:1]
		}
	}
	value := words(b.value)
	args = append(append(args, "--"+b.flag+"="+value[0]), value[1:]...)
	switch b.verb {
	case "run":
		args = append(args, image, "true")
		if want == 0 {
			want = 125
		}
	case "exec":
		args = append(args, "box", "true")
	case "ps", "events", "stats", "container prune":
	default:
		args = append(args, "box")
	}
	if want == 0 {
		want = 1
	}
	if r := d.Berth(args...); r.Code != want || !strings.Contains(r.Stderr, b.message) {
		t.Errorf("exit code %d, want %d; %s\nwant %s", r.Code, want, r.Stderr, b.message)
	}
}
