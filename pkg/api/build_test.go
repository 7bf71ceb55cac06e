package api_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/build"
	"github.com/berth-engine/berth/pkg/build/classic"
	types "github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
)

// fakeBuilder answers with what it was sent.
type fakeBuilder struct{ *journal }

func (f fakeBuilder) Serve(_ context.Context, conn net.Conn) error {
	f.note("Serve")
	defer conn.Close()
	_, err := io.CopyN(conn, conn, 4)
	return err
}

func (f fakeBuilder) Session(_ context.Context, conn net.Conn, header map[string][]string) error {
	f.note("Session", header)
	defer conn.Close()
	_, err := io.WriteString(conn, http.Header(header).Get("X-Docker-Expose-Session-Uuid"))
	return err
}

func (f fakeBuilder) Prune(_ context.Context, o build.PruneOptions) (types.CachePruneReport, error) {
	f.note("Prune", o)
	return types.CachePruneReport{CachesDeleted: []string{"a"}, SpaceReclaimed: 1}, nil
}

// fakeClassic keeps what it was asked for, and fails as a command did.
type fakeClassic struct {
	*journal
	asked     classic.Request
	cancelled string
	fail      error
}

type exitCode struct{ error }

func (exitCode) Code() int { return 3 }

func (f *fakeClassic) Build(_ context.Context, r classic.Request, body io.Reader, send classic.Send) error {
	f.note("Build", r)
	f.asked = r
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	if err := send(jsonstream.Message{Stream: "Step 1/1 : FROM x\n"}); err != nil {
		return err
	}
	return f.fail
}

func (f *fakeClassic) Cancel(id string) error {
	f.note("Cancel", id)
	f.cancelled = id
	return nil
}

func TestBuildParameters(t *testing.T) {
	f := newFakes()
	f.classic.fail = exitCode{errors.New("returned a non-zero code: 3")}
	socket := listen(t, newServer(t, f.routes()))
	auth := base64.URLEncoding.EncodeToString([]byte(`{"r:5000":{"username":"u","password":"p"}}`))
	ask := func(query string) string {
		conn := dial(t, socket)
		send(t, conn, "/build?"+query, "Connection: close\r\nContent-Length: 4\r\nX-Registry-Config: "+auth+"\r\n", "tar!")
		return readAll(t, conn)
	}
	got := ask("t=a&t=b:c&dockerfile=D&remote=http://x&q=1&nocache=1&pull=1&memory=5&memswap=-1&cpushares=2&cpusetcpus=0-1" +
		"&shmsize=9&networkmode=none&target=T&platform=linux/amd64&extrahosts=h:1.2.3.4&version=2&session=S&buildid=I&cgroupparent=/c" +
		`&buildargs={"A":"b","N":null}&labels={"l":"m"}&cachefrom=["c"]&ulimits=[{"Name":"nofile","Soft":1,"Hard":2}]&outputs=[{"Type":"moby","Attrs":{"k":"v"}}]`)
	if want := `{"errorDetail":{"code":3,"message":"returned a non-zero code: 3"},"error":"returned a non-zero code: 3"}`; !strings.Contains(got, want) {
		t.Errorf("the answer is %q, want %s", got, want)
	}
	b := "b"
	want := classic.Request{
		Version2: true, Session: "S", ID: "I", Remote: "http://x", Dockerfile: "D", Tags: []string{"a", "b:c"}, ExtraHosts: []string{"h:1.2.3.4"}, CacheFrom: []string{"c"},
		BuildArgs: map[string]*string{"A": &b, "N": nil}, Labels: map[string]string{"l": "m"}, Target: "T", Platform: "linux/amd64",
		Outputs: []classic.Output{{Type: "moby", Attrs: map[string]string{"k": "v"}}}, Quiet: true, NoCache: true, Pull: true,
		Network: "none", CgroupParent: "/c", Ulimits: []*container.Ulimit{{Name: "nofile", Soft: 1, Hard: 2}}, ShmSize: 9,
		Limits: classic.Limits{Memory: 5, MemorySwap: -1, CPUShares: 2, CPUs: "0-1"},
		Auth:   map[string]registry.AuthConfig{"r:5000": {Username: "u", Password: "p"}},
	}
	if !reflect.DeepEqual(f.classic.asked, want) {
		t.Errorf("asked for %+v, want %+v", f.classic.asked, want)
	}
	for query, message := range map[string]string{
		"version=3": `invalid version \"3\"`, "squash=1": "squash is only supported with experimental mode", "memory=x": `\"x\" is not a number`,
		"memory=-5": "is negative", "labels=x": "error reading labels", "securityopt=x": "security options are not supported on linux",
	} {
		if got := ask(query); !strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, message) {
			t.Errorf("%s: %q, want %s", query, got, message)
		}
	}
	conn := dial(t, socket)
	if send(t, conn, "/v1.40/build/cancel?id=I", "Connection: close\r\n", ""); !strings.HasPrefix(readAll(t, conn), "HTTP/1.1 200") || f.classic.cancelled != "I" {
		t.Errorf("cancelled %q", f.classic.cancelled)
	}
}

// BuildKit's clients go on in HTTP/2 on the connection that they asked with.
func TestUpgradeToAnotherProtocol(t *testing.T) {
	socket := listen(t, newServer(t, newFakes().routes()))
	for _, c := range []struct{ target, headers, want string }{
		{"/grpc", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI "},
		{"/v1.48/grpc", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "PRI "},
		{"/session", "Connection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: some\r\n", "\r\n\r\nsome"},
		{"/session", "Connection: close\r\n", `{"message":"no upgrade proto in request"}`},
		{"/grpc", "Connection: close\r\nUpgrade: tcp\r\n", `{"message":"protocol tcp not supported"}`},
	} {
		conn := dial(t, socket)
		send(t, conn, c.target, c.headers, "PRI ")
		if got := readAll(t, conn); !strings.HasSuffix(strings.TrimSpace(got), strings.TrimSpace(c.want)) {
			t.Errorf("%s with %q: %q, want %q", c.target, c.headers, got, c.want)
		}
	}
}
