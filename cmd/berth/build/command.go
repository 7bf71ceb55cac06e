// Package build is `berth build`: Docker buildx's build command for one builder,
// the daemon's own. It needs no plugin, and speaks BuildKit's control API over the
// daemon's socket, so it works against any Docker daemon that has BuildKit.
package build

import (
	"os"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/opts"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// options is what was said on the command line.
type options struct {
	context, file, target                          string
	tags, args, labels, annotations                []string
	secrets, ssh, contexts, outputs                []string
	cacheFrom, cacheTo                             []string
	platforms, hosts, allow                        []string
	attests, noCacheFilter                         []string
	provenance, sbom                               string
	network, cgroupParent, call, iidFile, metaFile string
	progress                                       string
	load, push, quiet, pull, noCache, check        bool
	shmSize                                        opts.MemBytes
	ulimits                                        *opts.UlimitOpt
	limits                                         limits
}

// limits bound each step; buildx accepts and ignores these flags.
type limits struct {
	memory                        opts.MemBytes
	swap                          opts.MemSwapBytes
	cpuShares, cpuPeriod, cpuQota int64
	cpus, mems                    string
}

// NewCommand makes the command.
func NewCommand(dockerCLI command.Cli) *cobra.Command {
	o := &options{ulimits: opts.NewUlimitOpt(nil)}
	cmd := &cobra.Command{
		Use:   "build [OPTIONS] PATH | URL | -",
		Short: "Build an image from a Dockerfile",
		Args:  cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.Flags().VisitAll(warnIgnored)
			o.context = args[0]
			return run(cmd.Context(), dockerCLI, o)
		},
		Annotations: map[string]string{"category-top": "4", "aliases": "docker image build, docker build, docker builder build"},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		DisableFlagsInUseLine: true,
	}
	inputFlags(cmd.Flags(), o)
	stepFlags(cmd.Flags(), o)
	resultFlags(cmd.Flags(), o)
	ignoredFlags(cmd.Flags())
	return cmd
}

// inputFlags are what is built.
func inputFlags(f *pflag.FlagSet, o *options) {
	f.StringVarP(&o.file, "file", "f", "", `Name of the Dockerfile (default: "PATH/Dockerfile")`)
	f.StringVar(&o.target, "target", "", "Set the target build stage to build")
	f.StringArrayVar(&o.args, "build-arg", nil, "Set build-time variables")
	f.StringArrayVar(&o.contexts, "build-context", nil, "Additional build contexts (e.g., name=path)")
	f.StringArrayVar(&o.secrets, "secret", nil, `Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")`)
	f.StringArrayVar(&o.ssh, "ssh", nil, `SSH agent socket or keys to expose to the build (format: "default|<id>[=<socket>|<key>[,<key>]]")`)
	f.StringArrayVar(&o.cacheFrom, "cache-from", nil, `External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")`)
	f.StringArrayVar(&o.noCacheFilter, "no-cache-filter", nil, "Do not cache specified stages")
	f.BoolVar(&o.noCache, "no-cache", false, "Do not use cache when building the image")
	f.BoolVar(&o.pull, "pull", false, "Always attempt to pull all referenced images")
	var platform []string
	if p := os.Getenv("DOCKER_DEFAULT_PLATFORM"); p != "" {
		platform = []string{p}
	}
	f.StringArrayVar(&o.platforms, "platform", platform, "Set target platform for build")
	f.StringVar(&o.call, "call", "build", `Set method for evaluating build ("check", "outline", "targets")`)
	f.BoolVar(&o.check, "check", false, `Shorthand for "--call=check"`)
}

// stepFlags are what RUN may do and use.
func stepFlags(f *pflag.FlagSet, o *options) {
	f.StringArrayVar(&o.hosts, "add-host", nil, `Add a custom host-to-IP mapping (format: "host:ip")`)
	f.StringArrayVar(&o.allow, "allow", nil, `Allow extra privileged entitlement (e.g., "network.host", "security.insecure")`)
	f.StringVar(&o.cgroupParent, "cgroup-parent", "", `Set the parent cgroup for the "RUN" instructions during build`)
	f.StringVar(&o.network, "network", "default", `Set the networking mode for the "RUN" instructions during build`)
	f.Var(&o.shmSize, "shm-size", "Shared memory size for build containers")
	f.Var(o.ulimits, "ulimit", "Ulimit options")
	f.VarP(&o.limits.memory, "memory", "m", "Memory limit")
	f.Var(&o.limits.swap, "memory-swap", `Swap limit equal to memory plus swap: "-1" to enable unlimited swap`)
	f.Int64VarP(&o.limits.cpuShares, "cpu-shares", "c", 0, "CPU shares (relative weight)")
	f.Int64Var(&o.limits.cpuPeriod, "cpu-period", 0, "Limit the CPU CFS (Completely Fair Scheduler) period")
	f.Int64Var(&o.limits.cpuQota, "cpu-quota", 0, "Limit the CPU CFS (Completely Fair Scheduler) quota")
	f.StringVar(&o.limits.cpus, "cpuset-cpus", "", `CPUs in which to allow execution ("0-3", "0,1")`)
	f.StringVar(&o.limits.mems, "cpuset-mems", "", `MEMs in which to allow execution ("0-3", "0,1")`)
}

// resultFlags are what comes out, and what is told.
func resultFlags(f *pflag.FlagSet, o *options) {
	f.StringArrayVarP(&o.tags, "tag", "t", nil, `Image identifier (format: "[registry/]repository[:tag]")`)
	f.StringArrayVar(&o.labels, "label", nil, "Set metadata for an image")
	f.StringArrayVar(&o.annotations, "annotation", nil, "Add annotation to the image")
	f.StringArrayVarP(&o.outputs, "output", "o", nil, `Output destination (format: "type=local,dest=path")`)
	f.BoolVar(&o.load, "load", false, `Shorthand for "--output=type=docker"`)
	f.BoolVar(&o.push, "push", false, `Shorthand for "--output=type=registry"`)
	f.StringArrayVar(&o.cacheTo, "cache-to", nil, `Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir")`)
	f.StringArrayVar(&o.attests, "attest", nil, `Attestation parameters (format: "type=sbom,generator=image")`)
	f.StringVar(&o.provenance, "provenance", "", `Shorthand for "--attest=type=provenance"`)
	f.StringVar(&o.sbom, "sbom", "", `Shorthand for "--attest=type=sbom"`)
	f.StringVar(&o.iidFile, "iidfile", "", "Write the image ID to a file")
	f.StringVar(&o.metaFile, "metadata-file", "", "Write build result metadata to a file")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Suppress the build output and print image ID on success")
	mode := os.Getenv("BUILDKIT_PROGRESS")
	if mode == "" {
		mode = "auto"
	}
	f.StringVar(&o.progress, "progress", mode, `Set type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty"). Use plain to show container output`)
}

// ignoredFlags had a meaning for Docker's first builder, and scripts still give them.
func ignoredFlags(f *pflag.FlagSet) {
	f.Bool("compress", false, "Compress the build context using gzip")
	f.Bool("force-rm", false, "Always remove intermediate containers")
	f.Bool("rm", true, "Remove intermediate containers after a successful build")
	f.Bool("disable-content-trust", true, "Skip image verification")
	f.String("isolation", "", "Container isolation technology")
	f.StringSlice("security-opt", nil, "Security options")
	f.Bool("squash", false, "Squash newly built layers into a single new layer")
	for name, warning := range map[string]string{
		"compress": "", "force-rm": "", "rm": "", "disable-content-trust": "",
		"isolation":    "isolation flag is deprecated with BuildKit.",
		"security-opt": `security-opt flag is deprecated. "RUN --security=insecure" should be used with BuildKit.`,
		"squash":       "experimental flag squash is removed with BuildKit. You should squash inside build using a multi-stage Dockerfile for efficiency.",
	} {
		_ = f.MarkHidden(name) // they are there
		if warning != "" {
			_ = f.SetAnnotation(name, ignored, []string{warning})
		}
	}
}

// ignored is the annotation of a flag that says what to tell who gives it.
const ignored = "berth-ignored"

func warnIgnored(f *pflag.Flag) {
	if w := f.Annotations[ignored]; f.Changed && len(w) == 1 {
		logrus.Warn(w[0])
	}
}
