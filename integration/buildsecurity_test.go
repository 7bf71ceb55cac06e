package integration

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/llbbuild"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
)

// What a step may do beyond a container must be granted by the daemon and asked
// for by the client: one is not enough.
func TestBuildEntitlements(t *testing.T) {
	t.Parallel()
	const hosts = "RUN --network=host test -e /sys/class/net/%s\n"
	const insecure = "RUN --security=insecure mount -t tmpfs x /tmp\n" // which a step may not
	d := start(t, harness.Options{})
	onHost := buildContext(t, fmt.Sprintf("FROM "+image+"\n"+hosts, d.Bridge))
	all := buildContext(t, "FROM "+image+"\n"+insecure)
	for _, builder := range []string{"berth", "buildx"} {
		d.Build(builder, nil, onHost).Fails(t, 1, "network.host is not allowed")
		d.Build(builder, nil, "--no-cache", "--allow", "network.host", onHost).OK(t)
		d.Build(builder, nil, all).Fails(t, 1, "security.insecure is not allowed")
		d.Build(builder, nil, "--allow", "security.insecure", all).Fails(t, 1, "security.insecure is not allowed")
	}
	d.Build("berth", nil, "--network", "host", buildContext(t, "FROM "+image+"\nRUN test -e /sys/class/net/"+d.Bridge+"\n")).OK(t)
	d.Build("classic", nil, "--network", "host", buildContext(t, "FROM "+image+"\nRUN test -e /sys/class/net/"+d.Bridge+"\n")).OK(t)

	config := filepath.Join(t.TempDir(), "daemon.json")
	text := `{"builder": {"entitlements": {"network-host": false, "security-insecure": true}, "frontends": []}}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	granted := start(t, harness.Options{Flags: []string{"--config-file", config}})
	granted.Build("berth", nil, "--allow", "network.host", onHost).Fails(t, 1, "network.host is not allowed")
	granted.Build("berth", nil, all).Fails(t, 1, "security.insecure is not allowed")
	granted.Build("berth", nil, "--allow", "security.insecure", all).OK(t)
	granted.Build("berth", nil, buildContext(t, "# syntax=docker/dockerfile:1\nFROM "+image)).Fails(t, 1, "is not allowed by the daemon's configuration (builder.frontends)")
}

// A frontend is a program of who wrote the Dockerfile: it is executed only if its
// repository is listed.
func TestBuildFrontends(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for _, dockerfile := range []string{"# syntax=evil.example/frontend\nFROM " + image, "# syntax=" + image + "\nFROM " + image} {
		for _, builder := range harness.Builders {
			r := d.Build(builder, nil, buildContext(t, dockerfile))
			if r.Code == 0 {
				t.Errorf("%s executes %q", builder, dockerfile)
			}
			tells(t, r, "is not allowed by the daemon's configuration (builder.frontends)")
		}
	}
}

// What an image or a context has in the place of a file that BuildKit reads itself is read
// if it is one: a FIFO would hold the build and all it has, a device do what devices do.
func TestBuildOfSpecialFiles(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for _, kind := range []string{"mkfifo $f", "mknod $f c 1 5", "ln -s fifo $f; mkfifo /etc/fifo"} {
		for file, then := range map[string]string{
			"/etc/passwd": "RUN true", "/etc/group": "USER root\nRUN true", "/etc/passwd ": "COPY --chown=x Dockerfile /\n", "/etc/group ": "COPY --chown=0:x Dockerfile /\n",
		} {
			dir := buildContext(t, "FROM "+image+"\nRUN f="+file+"; rm -f $f; "+kind+"\n"+then+"\n")
			for _, builder := range []string{"berth", "buildx", "classic"} {
				r := d.Build(builder, nil, dir)
				if r.Code == 0 {
					t.Errorf("%s reads %s made by %s", builder, file, kind)
				}
				tells(t, r, strings.TrimSpace(file)+" is not a regular file")
			}
		}
	}
	for _, kind := range []byte{tar.TypeFifo, tar.TypeChar} {
		var archive bytes.Buffer
		w := tar.NewWriter(&archive)
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: "Dockerfile", Typeflag: kind, Mode: 0o644, Devmajor: 1, Devminor: 5}), w.Close()); err != nil {
			t.Fatal(err)
		}
		for _, builder := range []string{"berth", "buildx"} {
			d.Build(builder, bytes.NewReader(archive.Bytes()), "-").Fails(t, 1, "Dockerfile is not a regular file")
		}
		resp, err := d.HTTP().Post("http://berth/v1.51/build", "application/x-tar", &archive)
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(said), "Dockerfile is not a regular file") {
			t.Errorf("the first builder's endpoint says %s: %v", said, err)
		}
	}
	await(t, "nothing is left", func() bool { return len(stepsLeft(d)) == 0 && len(sandboxesOf(d)) == 0 && len(d.TempFiles()) == 0 })
}

// TestBuildOfSpecialAttestations has a scanner for the SBOM that leaves a FIFO, or a link to
// one, for what it found.
func TestBuildOfSpecialAttestations(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	dir := buildContext(t, "FROM "+image+"\n")
	for kind, command := range map[string]string{
		"fifo": "mkfifo $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json",
		"link": "cd $BUILDKIT_SCAN_DESTINATION && mkfifo f && ln -s /f a.spdx.json",
	} {
		d.Build("berth", nil, "-t", kind, buildContext(t, "FROM "+image+"\nCMD [\"sh\", \"-c\", \""+command+"\"]\n")).OK(t)
		for _, output := range []string{"type=image", "type=oci,dest=/dev/null", "type=local,dest=" + t.TempDir()} {
			for _, builder := range []string{"berth", "buildx"} {
				d.Build(builder, nil, "--attest", "type=sbom,generator="+kind, "--output", output, dir).Fails(t, 1, "is not a regular file")
			}
		}
	}
	await(t, "nothing is left", func() bool { return len(stepsLeft(d)) == 0 && len(sandboxesOf(d)) == 0 && len(d.TempFiles()) == 0 })
}

// CVE-2024-23652: when the stub of a mount is removed, a step that has put a
// symlink in its place had a file of the host's removed instead.
func TestBuildCVE2024_23652(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	dir := t.TempDir()
	victim := filepath.Join(dir, "stub")
	if err := os.WriteFile(victim, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r := d.Build("berth", nil, buildContext(t, "FROM "+image+"\nRUN --mount=type=tmpfs,target=/a/stub "+
		"umount /a/stub 2>/dev/null; mv /a /b; ln -s "+dir+" /a; true\n"+
		"RUN --mount=type=bind,source=f,target=/a2/stub mv /a2 /b2; ln -s "+dir+" /a2; true\n", "f", ""))
	if _, err := os.Stat(victim); err != nil {
		t.Errorf("a file of the host's is gone: %v\n%s", err, r.Stderr)
	}
}

// CVE-2024-23651: a cache mount's source was resolved on the host after a step
// had made a symlink of it.
func TestBuildCVE2024_23651(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("the host's secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	const cache = "--mount=type=cache,id=cve,target=/c"
	// Both while it is swapped by another step, and afterwards.
	r := d.Build("berth", nil, "--progress=plain", "--no-cache", buildContext(t, "FROM "+image+" AS swap\n"+
		"RUN "+cache+" for i in $(seq 200); do rm -rf /c/x; mkdir /c/x; rm -rf /c/x; ln -s "+dir+" /c/x; done\n"+
		"FROM "+image+" AS look\n"+
		strings.Repeat("RUN --mount=type=cache,id=cve,source=x,target=/m cat /m/secret 2>/dev/null; true\n", 5)+
		"FROM "+image+"\nCOPY --from=swap /bin/true /1\nCOPY --from=look /bin/true /2\n"))
	after := d.Build("berth", nil, "--progress=plain", "--no-cache", buildContext(t, "FROM "+image+"\n"+
		"RUN --mount=type=cache,id=cve,source=x,target=/m cat /m/secret; true\n"))
	for _, out := range []harness.Result{r, after} {
		if strings.Contains(out.Stdout+out.Stderr, "the host's secret") {
			t.Errorf("a step reads the host's files:\n%s", out.Stderr)
		}
	}
}

// buildkit is BuildKit's own client, over the connection that buildx makes.
func buildkit(ctx context.Context, t *testing.T, d *harness.Daemon) *bkclient.Client {
	t.Helper()
	c, err := bkclient.New(ctx, "", bkclient.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return upgradeTo(ctx, d, "/grpc") }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// CVE-2024-23653: a container that a frontend asks for was given all privileges
// without anybody's leave.
func TestBuildCVE2024_23653(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	c := buildkit(ctx, t, d)
	try := func(mode pb.SecurityMode, net pb.NetMode) error {
		_, err := c.Build(ctx, bkclient.SolveOpt{}, "", func(ctx context.Context, g gateway.Client) (*gateway.Result, error) {
			def, err := llb.Image("docker.io/library/" + image).Marshal(ctx)
			if err != nil {
				return nil, err
			}
			res, err := g.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB()})
			if err != nil {
				return nil, err
			}
			ctr, err := g.NewContainer(ctx, gateway.NewContainerRequest{NetMode: net, Mounts: []gateway.Mount{{Dest: "/", MountType: pb.MountType_BIND, Ref: res.Ref}}})
			if err != nil {
				return nil, err
			}
			defer func() { _ = ctr.Release(ctx) }() // goes with the solve
			p, err := ctr.Start(ctx, gateway.StartRequest{Args: []string{"/bin/true"}, Cwd: "/", SecurityMode: mode, Stdout: nopCloser{io.Discard}, Stderr: nopCloser{io.Discard}})
			if err != nil {
				return nil, err
			}
			return nil, p.Wait()
		}, nil)
		return err
	}
	if err := try(pb.SecurityMode_SANDBOX, pb.NetMode_UNSET); err != nil {
		t.Errorf("a container without privileges: %v", err)
	}
	if err := try(pb.SecurityMode_INSECURE, pb.NetMode_UNSET); err == nil || !strings.Contains(err.Error(), "security.insecure is not allowed") {
		t.Errorf("a container with all privileges: %v", err)
	}
	if err := try(pb.SecurityMode_SANDBOX, pb.NetMode_HOST); err == nil || !strings.Contains(err.Error(), "network.host is not allowed") {
		t.Errorf("a container on the host's network: %v", err)
	}
}

// TestBuildOfSpecialDefinitions has a client of BuildKit's read FIFOs: as the definition of
// a build, as a file of what was built, and as one of a container's.
func TestBuildOfSpecialDefinitions(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	c := buildkit(ctx, t, d)
	fifo := llb.Image("docker.io/library/" + image).Run(llb.Shlex("mkfifo /buildkit.llb.definition")).Root()
	build, err := fifo.With(llbbuild.Build()).Marshal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const refused = "buildkit.llb.definition is not a regular file"
	if _, err := c.Solve(ctx, build, bkclient.SolveOpt{}, nil); err == nil || !strings.Contains(err.Error(), refused) {
		t.Errorf("a definition: %v", err)
	}
	_, err = c.Build(ctx, bkclient.SolveOpt{}, "", func(ctx context.Context, g gateway.Client) (*gateway.Result, error) {
		def, err := fifo.Marshal(ctx)
		if err != nil {
			return nil, err
		}
		res, err := g.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB()})
		if err != nil {
			return nil, err
		}
		file := gateway.ReadRequest{Filename: "/buildkit.llb.definition"}
		if _, err := res.Ref.ReadFile(ctx, file); err == nil || !strings.Contains(err.Error(), refused) {
			t.Errorf("a file: %v", err)
		}
		ctr, err := g.NewContainer(ctx, gateway.NewContainerRequest{Mounts: []gateway.Mount{{Dest: "/", MountType: pb.MountType_BIND, Ref: res.Ref}}})
		if err != nil {
			return nil, err
		}
		defer func() { _ = ctr.Release(ctx) }() // goes with the solve
		if _, err := ctr.ReadFile(ctx, gateway.ReadContainerRequest{ReadRequest: file}); err == nil || !strings.Contains(err.Error(), refused) {
			t.Errorf("a file of a container: %v", err)
		}
		return nil, nil
	}, nil)
	if err != nil {
		t.Error(err)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// upgradeTo asks for a connection in HTTP/2.
func upgradeTo(ctx context.Context, d *harness.Daemon, path string) (net.Conn, error) {
	conn, err := d.Dial(ctx, "", "")
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://berth"+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "h2c")
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	// A byte at a time: what follows the headers is the other protocol's.
	resp, err := http.ReadResponse(bufio.NewReaderSize(oneByte{conn}, 16), req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("%s: status %d", path, resp.StatusCode)
	}
	return conn, nil
}

type oneByte struct{ io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.Reader.Read(p[:min(len(p), 1)]) }

// Sessions that are none, or end at once, disturb nobody.
func TestBuildBrokenSessions(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	for _, path := range []string{"/session", "/grpc"} {
		for _, say := range []string{"", "garbage", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"} {
			conn, err := upgradeTo(ctx, d, path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, say); err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}
	}
	d.Build("berth", nil, buildContext(t, "FROM "+image+"\nRUN true\n")).OK(t)
}
