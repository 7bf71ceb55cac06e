package integration

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// classicBuild sends a Dockerfile to the first builder's endpoint, and gives the status
// and what the answer's messages say, one after the other.
func classicBuild(t *testing.T, c *http.Client, dockerfile string, query url.Values) (status int, said string) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(dockerfile)), Format: tar.FormatPAX}); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, dockerfile) // to memory
	_ = w.Close()
	resp, err := c.Post("http://berth/v1.41/build?"+query.Encode(), "application/x-tar", &b)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	decoder := json.NewDecoder(resp.Body)
	for {
		var m struct {
			Message, Stream string
			Aux             json.RawMessage
			ErrorDetail     struct {
				Message string
				Code    int
			}
		}
		if err := decoder.Decode(&m); err != nil {
			return resp.StatusCode, said
		}
		said += m.Message + m.Stream + m.ErrorDetail.Message + string(m.Aux)
	}
}

// Every parameter of the first builder's endpoint does what it says, or is refused in
// Docker's words.
func TestBuildParameters(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	const from = "FROM " + image + "\n"
	cgroup := func(controller, file string) string {
		return from + "RUN cat /proc/self/cgroup; echo " + file + "=$(cat /sys/fs/cgroup/" + controller + "/" + file + " 2>/dev/null)\n"
	}
	for _, c := range []struct {
		name, dockerfile, key, value string
		status                       int
		want                         string // a regular expression
	}{
		{"squash", from, "squash", "1", 400, "^squash is only supported with experimental mode$"},
		{"security options", from, "securityopt", "label=x", 400, "^security options are not supported on linux$"},
		{"isolation", from, "isolation", "hyperv", 400, `^unsupported isolation: "hyperv"$`},
		{"default isolation", from, "isolation", "default", 200, "Successfully built"},
		{"version", from, "version", "3", 400, `^invalid version "3"$`},
		{"version 1", from, "version", "1", 200, "Successfully built"},
		{"version 2 without a session", from + "RUN echo made\n", "version", "2", 200, `"ID":"sha256:[0-9a-f]{64}"`},
		{"broken ulimits", from, "ulimits", "{", 400, "^error reading ulimit settings: "},
		{"broken arguments", from, "buildargs", "[]", 400, "^error reading build args: "},
		{"broken labels", from, "labels", "x", 400, "^error reading labels: "},
		{"broken caches", from, "cachefrom", "x", 400, "^error reading cache-from: "},
		{"broken outputs", from, "outputs", "x", 400, "^invalid outputs specified: "},
		{"broken memory", from, "memory", "lots", 400, "memory"},
		{"negative memory", from, "memory", "-1", 400, "negative"},
		{"broken host", from, "extrahosts", "x", 400, `invalid extra host "x"`},
		{"broken platform", from, "platform", "a/b/c/d/e", 400, "platform"},
		{"broken tag", from, "t", "Bad!", 400, `invalid tag "Bad!"`},
		{"unknown network", from, "networkmode", "container:x", 400, `network mode "container:x" not supported by buildkit`},
		{"unknown target", from, "target", "none", 400, `target stage "none" could not be found`},
		{"missing Dockerfile", from, "dockerfile", "sub/Other", 400, "^Cannot locate specified Dockerfile: sub/Other$"},
		{"Dockerfile outside", from, "dockerfile", "../../etc/passwd", 400, "Cannot locate specified Dockerfile|outside"},
		{"broken Dockerfile", from + "RUNN x\n", "", "", 400, "^dockerfile parse error on line 2: unknown instruction: RUNN"},
		{"empty Dockerfile", "# nothing\n", "", "", 400, "file with no instructions"},
		{"remote that is none", from, "remote", "http://127.0.0.1:1/x.tar", 0, "connection refused"},

		{"arguments", "ARG X=d\n" + from + "ARG X\nARG Y\nRUN echo got $X-$Y\n", "buildargs", `{"X":"given","Y":null}`, 200, "(?m)^got given-$"},
		{"labels", from, "labels", `{"k":"v"}`, 200, "Successfully built"},
		{"target", "FROM " + image + " AS one\nRUN echo in one\n" + from + "RUN echo in two\n", "target", "one", 200, "Step 2/2 : RUN echo in one"},
		{"rm", from + "RUN true\n", "rm", "0", 200, "Successfully built"},
		{"forcerm", from + "RUN true\n", "forcerm", "1", 200, "Successfully built"},
		{"quiet", from + "RUN echo loud\n", "q", "1", 200, `^sha256:[0-9a-f]{64}\n$`},
		{"no network", from + "RUN echo links $(ls /sys/class/net)\n", "networkmode", "none", 200, "(?m)^links lo$"},
		{"the host's network", from + "RUN ls /sys/class/net\n", "networkmode", "host", 200, "(?m)^" + d.Bridge + "$"},
		{"the default network", from + "RUN echo links $(ls /sys/class/net | sort)\n", "networkmode", "bridge", 200, "(?m)^links eth0 lo$"},
		{"hosts", from + "RUN grep there /etc/hosts\n", "extrahosts", "there:192.0.2.7", 200, `(?m)^192\.0\.2\.7\s+there$`},
		{"the host's gateway", from + "RUN grep gw /etc/hosts\n", "extrahosts", "gw:host-gateway", 200, `(?m)^` + regexp.QuoteMeta(d.Subnet) + `\.1\s+gw$`},
		{"ulimits", from + "RUN echo files $(ulimit -Sn) $(ulimit -Hn)\n", "ulimits", `[{"Name":"nofile","Soft":111,"Hard":222}]`, 200, "(?m)^files 111 222$"},
		{"shared memory", from + "RUN echo KiB $(df -k /dev/shm | awk 'END {print $2}')\n", "shmsize", "3145728", 200, "(?m)^KiB 3072$"},
		{"cgroup parent", from + "RUN cat /proc/self/cgroup\n", "cgroupparent", "/" + d.CgroupParent(), 200, "/" + d.CgroupParent() + "/"},
		{"memory", cgroup("memory", "memory.limit_in_bytes"), "memory", "67108864", 200, "(?m)^memory.limit_in_bytes=67108864$"},
		{"shares", cgroup("cpu", "cpu.shares"), "cpushares", "77", 200, "(?m)^cpu.shares=77$"},
		{"period", cgroup("cpu", "cpu.cfs_period_us"), "cpuperiod", "50000", 200, "(?m)^cpu.cfs_period_us=50000$"},
		{"quota", cgroup("cpu", "cpu.cfs_quota_us"), "cpuquota", "40000", 200, "(?m)^cpu.cfs_quota_us=40000$"},
		{"processors", from + "RUN echo on $(nproc)\n", "cpusetcpus", "0", 200, "(?m)^on 1$"},
		{"memory nodes", from + "RUN grep Mems_allowed_list /proc/self/status\n", "cpusetmems", "0", 200, `(?m)^Mems_allowed_list:\s+0$`},
		{"nothing kept", from, "outputs", `[{"Type":"cacheonly"}]`, 200, "Step 1/1"},
		{"another exporter", from, "outputs", `[{"Type":"local"}]`, 400, `output type "local" needs a client with BuildKit`},
	} {
		t.Run(c.name, func(t *testing.T) {
			query := url.Values{}
			if c.key != "" {
				query.Set(c.key, c.value)
			}
			status, said := classicBuild(t, d.HTTP(), c.dockerfile, query)
			if c.status != 0 && status != c.status || !regexp.MustCompile(c.want).MatchString(said) {
				t.Errorf("status %d, want %d with %q:\n%s", status, c.status, c.want, said)
			}
		})
	}
}

// comparable leaves out of a stream what is another each time, the end of containers,
// of which Docker tells in other words since 23.0, and the containers of steps that run
// nothing, which BuildKit has none for.
func comparable(stream string) string {
	stream = regexp.MustCompile(`[0-9a-f]{64}|[0-9a-f]{12}`).ReplaceAllString(stream, "ID")
	var out []string
	runs := false
	for line := range strings.Lines(stream) {
		if strings.HasPrefix(line, "Step ") {
			runs = strings.Contains(line, " : RUN ")
		}
		if strings.Contains(line, "intermediate container") || !runs && strings.Contains(line, " ---> Running in ") {
			continue
		}
		out = append(out, line)
	}
	return strings.Join(out, "")
}

// The stream is Docker's: what dockerd's first builder says, IDs aside, is what ours
// says.
func TestBuildStreamIsDockers(t *testing.T) {
	t.Parallel()
	docker := harness.StartDockerd(t, harness.NewOtherHost(t))
	docker.Docker("load", "-i", sample)
	theirs := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", docker.Socket())
	}}}
	t.Cleanup(theirs.CloseIdleConnections)
	d := start(t, harness.Options{})
	// The pause: what a step writes to one output and then to the other comes by two pipes.
	for _, c := range []struct {
		name, dockerfile string
		query            url.Values
	}{
		{"steps", "FROM " + image + "\nRUN echo one && sleep 1 && echo two >&2\nRUN [\"echo\", \"three\"]\nWORKDIR /w\n", url.Values{"t": {"a:1", "b"}}},
		{"cached", "FROM " + image + "\nRUN echo one && sleep 1 && echo two >&2\nRUN [\"echo\", \"three\"]\nWORKDIR /w\n", url.Values{"t": {"a:1"}}},
		{"a command that fails", "FROM " + image + "\nRUN echo last words; exit 7\nRUN never\n", nil},
		{"an exec form that fails", "FROM " + image + "\nRUN [\"sh\", \"-c\", \"exit 3\"]\n", nil},
		{"a file that is not there", "FROM " + image + "\nCOPY nothing /\n", nil},
		{"quiet", "FROM " + image + "\nRUN echo one && sleep 1 && echo two >&2\n", url.Values{"q": {"1"}}},
		{"arguments", "ARG V=" + image + "\nFROM $V\nARG X=y\nRUN echo $X\n", nil},
	} {
		wantStatus, want := classicBuild(t, theirs, c.dockerfile, c.query)
		gotStatus, got := classicBuild(t, d.HTTP(), c.dockerfile, c.query)
		want, got = comparable(want), comparable(got)
		if gotStatus != wantStatus || got != want {
			t.Errorf("%s: status %d:\n%s\nDocker: status %d:\n%s", c.name, gotStatus, got, wantStatus, want)
		}
	}
}

// The cache of an image that is here or in a registry serves cachefrom, nocache does
// without any, and pull asks the registry though the image is here.
func TestBuildCacheParameters(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	const random = "FROM " + image + "\nRUN cat /proc/sys/kernel/random/uuid | tee /random\n"
	uuid := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)
	content := func(name string) string { return uuid.FindString(d.Berth("run", "--rm", name, "cat", "/random").OK(t)) }
	build := func(query url.Values) string {
		status, said := classicBuild(t, d.HTTP(), random, query)
		if status != http.StatusOK || !strings.Contains(said, "Successfully tagged") {
			t.Fatalf("status %d: %s", status, said)
		}
		return said
	}
	build(url.Values{"t": {"first"}})
	if said := build(url.Values{"t": {"second", "third:v3"}}); !strings.Contains(said, " ---> Using cache\n") ||
		!strings.Contains(said, "Successfully tagged second:latest\nSuccessfully tagged third:v3\n") || content("third:v3") != content("first") {
		t.Errorf("the same again says %s", said)
	}
	if said := build(url.Values{"t": {"other"}, "nocache": {"1"}}); strings.Contains(said, "Using cache") || content("other") == content("first") {
		t.Errorf("without cache: %s", said)
	}
	name := harness.StartRegistry(t).Address + "/team/cached:v1"
	build(url.Values{"t": {name}, "nocache": {"1"}})
	want := content(name)
	d.Berth("push", "-q", name).OK(t)
	d.Berth("rmi", "-f", name).OK(t)
	d.Berth("builder", "prune", "-af").OK(t)
	if build(url.Values{"t": {"again"}, "cachefrom": {`["` + name + `"]`}}); content("again") != want {
		t.Error("the cache in a registry is not used")
	}
}

// What a build with pull finds is the registry's, without it what is here.
func TestBuildPull(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	base := harness.StartRegistry(t).Address + "/team/base:v1"
	make := func(word string) {
		d.Build("berth", nil, "-t", base, buildContext(t, "FROM "+image+"\nRUN echo "+word+" >/word\n")).OK(t)
	}
	make("afar")
	d.Berth("push", "-q", base).OK(t)
	make("here")
	dir := buildContext(t, "FROM "+base+"\nCMD [\"cat\", \"/word\"]\n")
	for _, builder := range harness.Builders {
		for _, c := range []struct{ flag, want string }{{"", "here"}, {"--pull", "afar"}} {
			args := []string{"-t", "pulled", dir}
			if c.flag != "" {
				args = append([]string{c.flag}, args...)
			}
			d.Build(builder, nil, args...).OK(t)
			if got := d.Berth("run", "--rm", "pulled").OK(t); got != c.want {
				t.Errorf("%s %s: %q, want %q", builder, c.flag, got, c.want)
			}
		}
	}
}

// X-Registry-Config that cannot be read is none, as with Docker.
func TestBuildBrokenCredentials(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for _, header := range []string{"?", base64.URLEncoding.EncodeToString([]byte("[1]")), base64.URLEncoding.EncodeToString([]byte(`{"x":{}}`))} {
		req, err := http.NewRequest(http.MethodPost, "http://berth/v1.51/build?remote="+url.QueryEscape("http://127.0.0.1:1/x.tar"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Registry-Config", header)
		resp, err := d.HTTP().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(b), "connection refused") {
			t.Errorf("%s: %s", header, b)
		}
	}
}
