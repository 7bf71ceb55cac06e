package integration

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	tracev1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	spanv1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// TestBuildHistory: what buildx tells of builds of the past.
func TestBuildHistory(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	x := func(args ...string) harness.Result {
		t.Helper()
		return d.Buildx(nil, append([]string{"history"}, args...)...)
	}
	refs := func(args ...string) []string {
		t.Helper()
		all := strings.Fields(x(append([]string{"ls", "--format", "{{.Ref}}"}, args...)...).OK(t))
		for i, ref := range all {
			all[i] = ref[strings.LastIndex(ref, "/")+1:]
		}
		return all
	}
	d.Build("berth", nil, "-t", "one", buildContext(t, "FROM "+image+"\nRUN echo said by one\n")).OK(t)
	d.Build("buildx", nil, buildContext(t, "FROM "+image+"\nRUN echo said by two; exit 5\n")).Fails(t, 1, "exit code: 5")
	completed, failed := refs("--filter", "status=completed"), refs("--filter", "status=error")
	if len(completed) != 1 || len(failed) != 1 || len(refs()) != 2 {
		t.Fatalf("completed: %q, failed: %q, all: %q", completed, failed, refs())
	}
	tells(t, x("logs", completed[0]), "said by one")
	tells(t, x("logs", failed[0]), "said by two")
	tells(t, x("logs"), "said by two") // the last one
	tells(t, x("inspect", "--format", "{{.Status}}", completed[0]), "completed")
	tells(t, x("inspect", failed[0]), "exit code: 5")
	file := filepath.Join(t.TempDir(), "all.dockerbuild")
	x("export", "--all", "--finalize", "-o", file).OK(t)
	if n := exported(t, file); n == 0 {
		t.Error("export --all has nothing in it")
	}
	tells(t, x("inspect", "attachment", "--type", "provenance", completed[0]), "buildType")
	for _, verb := range []string{"logs", "inspect", "trace", "open", "export"} {
		if r := x(verb, "nobodysbuild"); r.Code == 0 {
			t.Errorf("%s of no build: %s", verb, r.Stdout)
		}
	}
	x("rm", failed[0]).OK(t)
	if left := refs(); len(left) != 1 || left[0] != completed[0] {
		t.Errorf("after rm: %q", left)
	}
	x("rm", "--all").OK(t)
	if left := refs(); len(left) != 0 {
		t.Errorf("after rm --all: %q", left)
	}
}

// Of buildx history, open and import hand records to Docker Desktop: open asks the engine
// which record that is and has the desktop show it, import asks it nothing.
func TestBuildHistoryForDesktop(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Build("buildx", nil, buildContext(t, "FROM "+image+"\nRUN true\n")).OK(t)
	ref := d.Buildx(nil, "history", "ls", "--format", "{{.Ref}}").OK(t)
	dir := t.TempDir()
	shown, file := filepath.Join(dir, "shown"), filepath.Join(dir, "one.dockerbuild")
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte("#!/bin/sh\necho \"$1\" >"+shown+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	buildx := func(args ...string) harness.Result {
		cmd := d.Command(ctx, "docker", append([]string{"buildx", "history"}, args...)...)
		cmd.Env = append(cmd.Env, "HOME="+dir, "PATH="+dir+":"+os.Getenv("PATH"))
		return d.Done(cmd)
	}
	buildx("open").OK(t)
	if url, err := os.ReadFile(shown); err != nil || strings.TrimSpace(string(url)) != "docker-desktop://dashboard/build/default/default/"+ref[strings.LastIndex(ref, "/")+1:] {
		t.Errorf("open shows %s: %v", url, err)
	}
	buildx("export", "-o", file).OK(t)
	buildx("import", "-f", file).Fails(t, 1, "check if Docker Desktop is running")
}

// What a build spends its time on is in its record: each step, whoever builds, and what
// the client says of itself.
func TestBuildTrace(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	x := func(args ...string) harness.Result {
		t.Helper()
		return d.Buildx(nil, append([]string{"history"}, args...)...)
	}
	var refs []string
	for _, builder := range harness.Builders {
		d.Build(builder, nil, buildContext(t, "FROM "+image+"\nRUN echo by "+builder+"\n")).OK(t)
		ref := strings.Fields(x("ls", "--format", "{{.Ref}}").OK(t))[0]
		ref = ref[strings.LastIndex(ref, "/")+1:]
		refs = append(refs, ref)
		// Asked for at once, it is completed first.
		spans, services := traced(t, x("trace", ref).OK(t))
		if !spans["[2/2] RUN echo by "+builder] || !services["berthd"] || services["buildx"] != (builder == "buildx") {
			t.Errorf("%s: steps %v of %v", builder, spans, services)
		}
	}
	d.Build("buildx", nil, buildContext(t, "FROM "+image+"\nRUN exit 5\n")).Fails(t, 1, "exit code: 5")
	if spans, _ := traced(t, x("trace").OK(t)); !spans["[2/2] RUN exit 5"] {
		t.Errorf("a build that failed: %v", spans)
	}
	d.Kill()
	d.Run()
	traced(t, x("trace", refs[0]).OK(t))
	compared(t, d, refs[0], refs[1])
}

// traced are the names of a trace's spans, and the programs that they are of.
func traced(t *testing.T, printed string) (spans, services map[string]bool) {
	t.Helper()
	var all struct {
		Data []struct {
			Spans     []struct{ OperationName string }
			Processes map[string]struct{ ServiceName string }
		}
	}
	if err := json.Unmarshal([]byte(printed), &all); err != nil || len(all.Data) != 1 {
		t.Fatalf("%v: %s", err, printed)
	}
	spans, services = map[string]bool{}, map[string]bool{}
	for _, s := range all.Data[0].Spans {
		spans[s.OperationName] = true
	}
	for _, p := range all.Data[0].Processes {
		services[p.ServiceName] = true
	}
	return spans, services
}

// compared has buildx serve the page that compares two builds, and looks at it.
func compared(t *testing.T, d *harness.Daemon, one, other string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	cmd := d.Command(ctx, "docker", "buildx", "history", "trace", "--compare", one, other)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // killed
	}()
	const told = "Trace available at "
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), told) {
	}
	page, ok := strings.CutPrefix(lines.Text(), told)
	base, ids, both := strings.Cut(page, "/trace/")
	if !ok || !both {
		t.Fatalf("trace --compare says %q", lines.Text())
	}
	for _, id := range strings.Split(ids, "...") {
		resp, err := http.Get(base + "/api/traces/" + id)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		traced(t, string(b))
	}
}

// A client's spans are a stranger's: one without values ends nothing.
func TestBuildTraceOfStranger(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///berth", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return upgradeTo(ctx, d, "/grpc") }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	none := []*commonv1.KeyValue{{Key: "no value"}}
	for range 3 {
		_, err = tracev1.NewTraceServiceClient(conn).Export(ctx, &tracev1.ExportTraceServiceRequest{ResourceSpans: []*spanv1.ResourceSpans{{
			Resource:   &resourcev1.Resource{Attributes: none},
			ScopeSpans: []*spanv1.ScopeSpans{{Spans: []*spanv1.Span{{TraceId: []byte("x"), Attributes: none, Events: []*spanv1.Span_Event{{Attributes: none}}}}}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	d.Build("buildx", nil, buildContext(t, "FROM "+image+"\nRUN true\n")).OK(t)
	traced(t, d.Buildx(nil, "history", "trace").OK(t))
}

// exported counts the files of a bundle.
func exported(t *testing.T, file string) (n int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; n++ {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
