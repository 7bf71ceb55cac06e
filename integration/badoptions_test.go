package integration

import (
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestBadOptions says what cannot be, to both clients: each gets Docker's words and
// exit code, and nothing is left.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "limited", "--memory", "100m", "--memory-swap", "200m", "--cpu-period", "50000", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "nano", "--cpus", "1", "--rm", image, "sleep", "1000").OK(t)
	d.Berth("create", "--name", "made", image).OK(t)
	before := d.Berth("ps", "-aq", "--no-trunc").OK(t) + d.Berth("volume", "ls", "-q").OK(t)
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			for _, c := range badOptions {
				args := strings.Fields(c.line)
				if len(args) == 1 || strings.HasPrefix(args[0], "-") { // of run
					args = append(append([]string{"run"}, args...), image, "true")
				}
				if c.code == 0 {
					c.code = 125
				}
				if r := d.Client(client, nil, args...); r.Code != c.code || !strings.Contains(r.Stderr, c.message) {
					t.Errorf("%s: exit code %d, want %d; %s\nwant %s", c.line, r.Code, c.code, r.Stderr, c.message)
				}
			}
		})
	}
	if after := d.Berth("ps", "-aq", "--no-trunc").OK(t) + d.Berth("volume", "ls", "-q").OK(t); after != before {
		t.Errorf("left: %s", after)
	}
}

var badOptions = []struct {
	line    string // a command, or options of run
	message string
	code    int // 0 is 125
}{
	{"--memory 1m", "Minimum memory limit allowed is 6MB", 0},
	{"--memory 4g --memory-swap 1g", "Minimum memoryswap limit should be larger than memory limit, see usage", 0},
	{"--memory-swap 1g", "You should always set the Memory limit when using Memoryswap limit, see usage", 0},
	{"--memory 100m --memory-reservation 200m", "Minimum memory limit can not be less than memory reservation limit, see usage", 0},
	{"--cpus 1000", "range of CPUs is from 0.01 to ", 0},
	{"--cpus 1 --cpu-period 1000", "Conflicting options: Nano CPUs and CPU Period cannot both be set", 0},
	{"--cpus 1 --cpu-quota 1000", "Conflicting options: Nano CPUs and CPU Quota cannot both be set", 0},
	{"--cpu-period 10", "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)", 0},
	{"--cpu-quota 10", "CPU cfs quota can not be less than 1ms (i.e. 1000)", 0},
	{"--cpu-shares -1", "invalid CPU shares (-1): value must be a positive integer", 0},
	{"--cpuset-cpus 999", "Requested CPUs are not available - requested 999, available: ", 0},
	{"--cpuset-mems 999", "Requested memory nodes are not available - requested 999, available: ", 0},
	{"--cpuset-cpus a", "Invalid value a for cpuset cpus", 0},
	{"--oom-score-adj 2000", "Invalid value 2000, range for oom score adj is [-1000, 1000]", 0},
	{"--sysctl kernel.msgmax=1 --ipc host", `sysctl "kernel.msgmax" is not allowed in the hosts ipc namespace`, 0},
	{"--sysctl net.ipv4.ip_forward=1 --network host", `sysctl "net.ipv4.ip_forward" not allowed in host network namespace`, 0},
	{"--rm --restart always", "cannot specify both --restart and --rm", 0},
	{"--restart on-failure:-1", "maximum retry count cannot be negative", 0},
	{"--restart always:3", "maximum retry count can only be used with 'on-failure'", 0},
	{"--restart maybe", "unknown policy 'maybe'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", 0},
	{"--stop-signal NOPE", "invalid signal: NOPE", 0},
	{"-w relative", "the working directory 'relative' is invalid, it needs to be an absolute path", 0},
	{"--rm -u nobodyknows", "unable to find user nobodyknows: no matching entries in passwd file", 0},
	{"--rm -u 9999999999", "uids and gids must be in range 0-2147483647", 0},
	{"--rm --group-add nobodyknows", "unable to find group nobodyknows: no matching entries in group file", 0},
	{"--name -bad", "Invalid container name (-bad), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", 0},
	{"--name made", `Conflict. The container name "/made" is already in use by container`, 0},
	{"--cap-add NOPE", `invalid CapAdd: unknown capability: "CAP_NOPE"`, 0},
	{"--cap-drop NOPE", `invalid CapDrop: unknown capability: "CAP_NOPE"`, 0},
	{"--security-opt nope=1", `invalid --security-opt 2: "nope=1"`, 0},
	{"--security-opt no-new-privileges=maybe", `invalid --security-opt 2: "no-new-privileges=maybe"`, 0},
	{"--runtime nope", "unknown or invalid runtime name: nope", 0},
	{"--log-driver nope", "no log driver named 'nope' is registered", 0},
	{"--log-opt nope=1", "unknown log opt 'nope' for json-file log driver", 0},
	{"--isolation hyperv", "invalid isolation (hyperv): linux only supports 'default'", 0},
	{"--gpus all", `could not select device driver "" with capabilities: [[gpu]]`, 0},
	{"--storage-opt size=1G", "--storage-opt", 0},
	{"--annotation =x", "invalid Annotations: the empty string is not permitted as an annotation key", 0},
	{"--health-cmd x --health-interval 1us", "Interval in Healthcheck cannot be less than 1ms", 0},
	{"--health-cmd x --health-start-period 1us", "StartPeriod in Healthcheck cannot be less than 1ms", 0},
	{"--health-cmd x --health-retries -1", "--health-retries cannot be negative", 0},
	{"--health-cmd x --health-timeout 1us", "Timeout in Healthcheck cannot be less than 1ms", 0},
	{"--no-healthcheck --health-cmd x", "--no-healthcheck conflicts with --health-* options", 0},
	{"-d -a stdout", "onflicting options: ", 1},
	{"-it", "TTY", 1},
	{"--cpuset-cpus 1-0", "Invalid value 1-0 for cpuset cpus: invalid format: 1-0", 0},
	{"--cpuset-mems 0-9999999999", "Invalid value 0-9999999999 for cpuset mems: value of out range, maximum is 8192", 0},
	{"--cpu-rt-period 1000 --cpu-rt-runtime 2000", "cpu real-time runtime cannot be higher than cpu real-time period", 0},
	{"--memory-swappiness 101", "invalid value: 101. Valid memory swappiness range is 0-100", 0},
	{"--shm-size -1", "invalid size: '-1'", 0},
	{"--ulimit nofile=10:5", "ulimit soft limit must be less than or equal to hard limit: 10 > 5", 0},
	{"--ulimit nope=1", "invalid ulimit type: nope", 0},
	{"--security-opt magic", `nvalid --security-opt: "magic"`, 0},
	{"--security-opt seccomp=/no/such", "opening seccomp profile (/no/such) failed: open /no/such: no such file or directory", 0},
	{"--device /dev/null:/x:zz", "bad mode specified: zz", 0},
	{"--device-cgroup-rule x", "invalid device cgroup format 'x'", 0},
	{"--cidfile /etc/passwd", "ontainer ID file found, make sure the other container isn't running or delete /etc/passwd", 0},
	{"--env-file /no/such", "open /no/such: no such file or directory", 0},

	{"--hostname h --network container:made", "conflicting options: hostname and the network mode", 0},
	{"--hostname h --uts host", "conflicting options: hostname and the UTS mode", 0},
	{"--dns 192.0.2.1 --network container:made", "conflicting options: dns and the network mode", 0},
	{"--add-host a:192.0.2.1 --network container:made", "conflicting options: custom host-to-IP mapping and the network mode", 0},
	{"-p 80 --network container:made", "conflicting options: port publishing and the container type network mode", 0},
	{"-P --network container:made", "conflicting options: port publishing and the container type network mode", 0},
	{"--expose 80 --network container:made", "conflicting options: port exposing and the container type network mode", 0},
	{"--network container:", "invalid container format container:<name|id>", 0},
	{"--rm --network nope", "failed to set up container networking: network nope not found", 0},
	{"--hostname h --uts host --network container:made", "conflicting options: hostname and the network mode", 0},
	{"--rm --mac-address 02:42:ac:11:00:02 --network container:made", "cannot join network namespace of a non running container: ", 0},
	{"--ip 192.0.2.9 --network container:made", "invalid config for network container:made: invalid endpoint settings:\nuser-specified IP address is supported on user-defined networks only", 0},
	{"--network container:made --network other", "conflicting options: cannot attach both user-defined and non-user-defined network-modes", 0},
	{"--network container:made --network container:made", `network "container:made" is specified multiple times`, 0},
	{"--ip 192.0.2.9 --network host", "user-specified IP address is supported on user-defined networks only", 0},
	{"--network-alias x --network host", "network-scoped aliases are only supported for user-defined networks", 0},
	{"--network made --network host", "conflicting options: cannot attach both user-defined and non-user-defined network-modes", 0},
	{"--pid container:nobody", "No such container: nobody", 0},
	{"--ipc container:nobody", "No such container: nobody", 0},
	{"--link nobody", "could not get container for nobody: No such container: nobody", 0},
	{"--link made:a:b", "bad format for links: made:a:b", 0},
	{"--name itself --link itself", "could not get container for itself: No such container: itself", 0},
	{"--hostname a/b", `invalid hostname format: "a/b"`, 0},

	{"-v a:b:c:d", "invalid volume specification: 'a:b:c:d'", 0},
	{"-v rel/path:/x", `"rel/path" includes invalid characters for a local volume name`, 0},
	{"-v /tmp:x", "mount path must be absolute", 0},
	{"-v /tmp:/", "destination can't be '/'", 0},
	{"-v /tmp:/x:nope", "invalid mode: nope", 0},
	{"-v /tmp:/x -v /etc:/x", "Duplicate mount point: /x", 0},
	{"--mount type=bind,source=/no/such,target=/x", "bind source path does not exist: /no/such", 0},
	{"--mount type=nope,target=/x", `invalid mount config for type "nope": mount type unknown`, 0},
	{"--mount type=bind,source=rel,target=/x", "invalid mount path: 'rel' mount path must be absolute", 0},
	{"--mount type=bind,source=/tmp,target=/x,bind-propagation=zz", `invalid mount config for type "bind": invalid propagation mode: zz`, 0},
	{"--mount type=tmpfs,target=/x,source=y", `invalid mount config for type "tmpfs": field Source must not be specified`, 0},
	{"--mount type=volume,target=/x,bind-propagation=shared", "cannot mix 'bind-*' options with mount type 'volume'", 0},
	{"--mount type=bind,source=/tmp,target=/x,nope=1", "'nope' in 'nope=1'", 0},
	{"--mount type=tmpfs,target=/x,tmpfs-mode=9z", "invalid value for tmpfs-mode: 9z", 0},
	{"--tmpfs x", "mount path must be absolute", 0},
	{"--tmpfs /x:nope", `invalid tmpfs option "nope"`, 0},
	{"--volumes-from nobody", "No such container: nobody", 0},
	{"--volumes-from made:xx", "invalid mode: xx", 0},
	{"--volume-driver nope -v a:/x", "error looking up volume plugin nope", 0},

	{"run --rm " + image + " nope", `exec: "nope": executable file not found in $PATH`, 127},
	{"run --rm " + image + " /etc", `exec: "/etc": is a directory`, 126},
	{"run --rm " + image + " /etc/passwd", `exec: "/etc/passwd": permission denied`, 126},

	{"update --memory 300m limited", "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time", 1},
	{"update --cpus 1 limited", "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set", 1},
	{"update --cpu-period 5000 nano", "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set", 1},
	{"update --restart always nano", "Restart policy cannot be updated because AutoRemove is enabled for the container", 1},
	{"update --restart maybe made", "unknown policy 'maybe'", 1},
	{"update --memory 1m made", "Minimum memory limit allowed is 6MB", 1},
	{"update --memory 10m nobody", "No such container: nobody", 1},

	{"exec made true", "is not running", 1},
	{"exec nobody true", "No such container: nobody", 1},
	{"exec -u nobodyknows limited true", "unable to find user nobodyknows: no matching entries in passwd file", 1},
	{"exec --detach-keys zz limited true", "detach keys (zz)", 1},

	{"kill -s NOPE limited", "invalid signal: NOPE", 1},
	{"kill made", "is not running", 1},
	{"stop -s NOPE limited", "cannot stop container: limited: invalid signal: NOPE", 1},
	{"restart -s NOPE limited", "Cannot restart container limited: invalid signal: NOPE", 1},
	{"rename limited limited", "Renaming a container with the same name as its current name", 1},
	{"rename limited made", `Conflict. The container name "/made" is already in use by container`, 1},
	{"pause made", "is not running", 1},
	{"unpause limited", "is not paused", 1},
	{"rm limited", "container is running: stop the container before removing or force remove", 1},
	{"top made", "is not running", 1},
	{"port limited 99", "o public port '99", 1},
	{"ps --filter status=x", "invalid filter 'status=x'", 1},
	{"checkpoint create limited x", "experimental", 1}, // in the words of the client's version
	{"start --checkpoint x made", "experimental", 1},
}
