package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/typeurl/v2"
)

// TestVolumeVerbs lists, shows and removes volumes, with filters and formats, and says
// what it does not take in Docker's words.
func TestVolumeVerbs(t *testing.T) {
	scripts(t, func(s script) {
		s.volumeLists()
		s.volumesInUse()
		s.volumePrunes()
		s.volumesRefused()
		s.mountsRefused()
		s.volumeNames("")
		s.empty()
		awaitClean(s.t, s.d)
	})
}

func (s script) volumeLists() {
	s.t.Helper()
	s.is("web", "volume", "create", "--label", "tier=front", "--label", "x", "web")
	s.is("web", "volume", "create", "--label", "tier=back", "web") // is there, and stays as it is
	s.is("webdb", "volume", "create", "--label", "tier=back", "webdb")
	s.is("ram", "volume", "create", "-d", "local", "-o", "type=tmpfs", "-o", "device=tmpfs", "ram")
	s.ok("create", "--name", "user", "-v", "web:/x", image)
	for filter, want := range map[string]string{
		"name=web": "web webdb", "name=^web$": "web", "name=db": "webdb", "name=none": "", "label=tier": "web webdb", "label=tier=back": "webdb",
		"driver=local": "ram web webdb", "driver=other": "", "dangling=true": "ram webdb", "dangling=false": "web", "dangling=1": "ram webdb",
	} {
		if got := strings.Join(strings.Fields(s.ok("volume", "ls", "-q", "--filter", filter)), " "); got != want {
			s.t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	s.is("webdb", "volume", "ls", "-q", "-f", "label=tier=back", "-f", "name=web")
	s.is("web local local front\nwebdb local local back", "volume", "ls", "-f", "label=tier", "--format", `{{.Name}} {{.Driver}} {{.Scope}} {{.Label "tier"}}`)
	s.contains(`"Name":"ram"`, "volume", "ls", "-f", "name=ram", "--format", "json")
	s.is("web local local front "+filepath.Join(s.d.Data(), "volumes/web/_data"), "volume", "inspect", "-f", "{{.Name}} {{.Driver}} {{.Scope}} {{.Labels.tier}} {{.Mountpoint}}", "web")
	var all []struct {
		Name, CreatedAt string
		Options         map[string]string
	}
	if err := json.Unmarshal([]byte(s.ok("volume", "inspect", "ram", "web")), &all); err != nil || len(all) != 2 || all[0].Options["device"] != "tmpfs" || all[1].Options != nil || all[0].CreatedAt == "" {
		s.t.Errorf("%+v, %v", all, err)
	}
	s.do("volume", "inspect", "web", "none").Fails(s.t, 1, "get none: no such volume")
	s.do("volume", "ls", "-f", "dangling=maybe").Fails(s.t, 1, "invalid filter 'dangling=[maybe]'")
	s.do("volume", "ls", "-f", "size=1").Fails(s.t, 1, "invalid filter 'size'")
	s.ok("rm", "user")
	s.ok("volume", "rm", "web", "webdb", "ram")
}

func (s script) volumesInUse() {
	s.t.Helper()
	one := s.ok("create", "--name", "one", "-v", "data:/d", "-v", "/anonymous", image, "true")
	anonymous := s.ok("inspect", "-f", `{{range .Mounts}}{{if ne .Name "data"}}{{.Name}}{{end}}{{end}}`, "one")
	for _, args := range [][]string{{"data"}, {"-f", "data"}, {anonymous}} { // also while nothing runs
		s.do(append([]string{"volume", "rm"}, args...)...).Fails(s.t, 1, "remove "+args[len(args)-1]+": volume is in use - ["+one+"]")
	}
	s.ok("create", "--name", "two", "--volumes-from", "one", image, "true")
	s.ok("rm", "-v", "one") // the other one still has it
	s.contains(anonymous, "volume", "ls", "-q")
	s.ok("rm", "two") // and nobody, from here on: it stays, without -v
	s.contains(anonymous, "volume", "ls", "-q", "-f", "dangling=true")
	s.ok("volume", "rm", anonymous, "data")
	s.ok("volume", "rm", "-f", "data")
	s.do("volume", "rm", "data").Fails(s.t, 1, "get data: no such volume")
	s.ok("run", "--rm", "-v", "/x", image, "true")
	s.ok("run", "--name", "left", "-v", "/x", image, "true")
	s.ok("rm", "-v", "left")
	s.volumeNames("")
}

func (s script) volumePrunes() {
	s.t.Helper()
	for name, label := range map[string]string{"keep": "keep=yes", "drop": "keep=no", "bare": "other"} {
		s.ok("volume", "create", "--label", label, name)
	}
	s.ok("create", "--name", "user", "-v", "used:/x", image)
	s.ok("volume", "create", "--label", "keep=no") // without a name
	s.contains("Total reclaimed space:", "volume", "prune", "-f", "--filter", "label!=keep=no")
	s.ok("volume", "prune", "-f")
	s.volumeNames("bare drop keep used")
	s.contains("bare", "volume", "prune", "-af", "--filter", "label!=keep")
	s.volumeNames("drop keep used")
	s.contains("drop", "volume", "prune", "-af", "--filter", "label=keep=no")
	s.volumeNames("keep used")
	s.contains("keep", "volume", "prune", "-af")
	s.volumeNames("used")
	s.do("volume", "prune", "-f", "--filter", "name=x").Fails(s.t, 1, "invalid filter 'name'")
	s.ok("rm", "user")
	s.ok("volume", "rm", "used")
}

func (s script) volumesRefused() {
	s.t.Helper()
	const characters = `includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`
	for _, c := range []struct{ args, want string }{
		{"x", "create x: volume name is too short, names should be at least two alphanumeric characters"},
		{"a/b", `create a/b: "a/b" ` + characters}, {"..", `create ..: ".." ` + characters}, {".new-x", `create .new-x: ".new-x" ` + characters},
		{"-d nope vv", `create vv: error looking up volume plugin nope: plugin "nope" not found`},
		{"-o magic=1 vv", `create vv: invalid option: "magic"`},
		{"-o type=tmpfs vv", `create vv: missing required option: "device"`}, {"-o device=/x vv", `create vv: missing required option: "type"`},
		{"-o o=ro vv", "create vv: missing required option:"},
		{"-o type=cifs -o device=//h:1/x vv", "create vv: port not allowed in CIFS device URL, include 'port' in 'o='"},
		{"-o size=1m vv", "create vv: quota size requested but no quota support"},
	} {
		s.do(append([]string{"volume", "create"}, strings.Fields(c.args)...)...).Fails(s.t, 1, c.want)
	}
	for _, c := range []struct {
		method, path, body, want string
		status                   int
	}{
		{"PUT", "/v1.50/volumes/x?version=1", `{"Spec":{}}`, "volume update only valid for cluster volumes, but swarm is unavailable", 503},
		{"POST", "/v1.50/volumes/create", `{"Name":"cv","ClusterVolumeSpec":{"Group":"g"}}`, "This node is not a swarm manager.", 503},
		{"POST", "/v1.41/volumes/create", `{"Name":"cv","ClusterVolumeSpec":{"Group":"g"}}`, "", 201}, // nothing knew of it
		{"DELETE", "/v1.50/volumes/cv", "", "", 204},
		{"POST", "/v1.50/volumes/create", `{"Name":`, "unexpected EOF", 400},
		{"POST", "/v1.50/volumes/create", `{"Name":7}`, "cannot unmarshal number", 400},
		{"GET", "/v1.50/volumes?filters=x", "", "invalid", 400},
	} {
		if status, message := s.raw(c.method, c.path, c.body); status != c.status || !strings.Contains(message, c.want) {
			s.t.Errorf("%s %s %s: %d %q, want %d %q", c.method, c.path, c.body, status, message, c.status, c.want)
		}
	}
}

// raw sends a request as it is, and gives the status and the message of an error.
func (s script) raw(method, path, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://berth"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.d.HTTP().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var answer struct{ Message string }
	_ = json.Unmarshal(b, &answer) // not all answers have one
	return resp.StatusCode, answer.Message
}

// mountsRefused: nothing is made of a container that asks for what cannot be mounted.
func (s script) mountsRefused() {
	s.t.Helper()
	dir := s.t.TempDir()
	for _, c := range []struct{ flag, value, want string }{
		{"-v", "a:b:c:d", "invalid volume specification: 'a:b:c:d'"},
		{"-v", "xx:/", `invalid volume specification: 'xx:/': invalid mount config for type "volume": invalid specification: destination can't be '/'`},
		{"-v", "/tmp:x", "invalid mount path: 'x' mount path must be absolute"},
		{"-v", "/tmp:/x:rro", "invalid mode: rro"}, {"-v", "/tmp:/x:ro,rw", "invalid mode: ro,rw"},
		{"-v", "/tmp:/x:nocopy", `invalid mount config for type "bind": field VolumeOptions must not be specified`},
		{"-v", "vv:/x:rshared", `invalid mount config for type "volume": field BindOptions must not be specified`},
		{"-v", "x:/x", "create x: volume name is too short, names should be at least two alphanumeric characters"},
		{"-v", "a/b:/x", `create a/b: "a/b" includes invalid characters for a local volume name`},
		{"--mount", "type=nope,target=/x", "mount type unknown"},
		{"--mount", "type=volume,source=vv,target=/", "invalid specification: destination can't be '/'"},
		{"--mount", "type=bind,source=" + dir + ",target=x", "invalid mount path: 'x' mount path must be absolute"},
		{"--mount", "type=bind,source=" + dir + "/no,target=/x", `invalid mount config for type "bind": bind source path does not exist: ` + dir + "/no"},
		{"--mount", "type=bind,source=" + dir + ",target=/x,bind-propagation=far", "invalid propagation mode: far"},
		{"--mount", "type=volume,source=vv,target=/x,volume-subpath=../x", "subpath must be a relative path within the volume"},
		{"--mount", "type=volume,target=/x,volume-subpath=a", "must not set Subpath when using anonymous volumes"},
		{"--mount", "type=volume,source=vv,target=/x,volume-driver=nope", `error looking up volume plugin nope: plugin "nope" not found`},
		{"--mount", "type=volume,source=vv,target=/x,volume-opt=magic=1", `invalid option: "magic"`},
		{"--mount", "type=tmpfs,source=x,target=/x", "field Source must not be specified"},
		{"--tmpfs", "/x:magic", `invalid tmpfs option "magic"`}, {"--tmpfs", "x", "mount path must be absolute"},
		{"--volumes-from", "nobody", "No such container: nobody"},
	} {
		if got := s.do("create", c.flag, c.value, image); got.Code == 0 || !strings.Contains(got.Stderr, c.want) {
			s.t.Errorf("%s %s: exit code %d, %q, want %q", c.flag, c.value, got.Code, got.Stderr, c.want)
		}
	}
	s.do("create", "-v", "/tmp:/x", "-v", "vv:/x/", image).Fails(s.t, 1, "Duplicate mount point: /x")
	s.do("create", "-v", "vv:/etc/passwd", image).Fails(s.t, 1, "cannot mount volume over existing file, file exists /etc/passwd")
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		s.t.Errorf("made in the host's folder: %v, %v", left, err)
	}
}

// TestRefusedBeforeSnapshot: what can be known before is refused before a root
// filesystem is made, as containerd's events tell.
func TestRefusedBeforeSnapshot(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	c, err := client.New(d.Containerd())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stream, errs := c.Subscribe(namespaces.WithNamespace(t.Context(), d.Namespace()), `topic=="/snapshot/prepare"`)
	var ids []string
	var keys []string                                            // of root filesystems that were made
	await(t, "events of a container that is made", func() bool { // once the subscription is there
		ids = append(ids, d.Berth("create", image).OK(t))
		select {
		case e := <-stream:
			keys = []string{prepared(t, e)}
			return true
		case err := <-errs:
			t.Fatal(err)
		default:
		}
		return false
	})
	missing := filepath.Join(t.TempDir(), "missing")
	for _, mount := range []string{
		"type=bind,source=" + missing + ",target=/x", "type=volume,source=x,target=/x", "type=volume,source=vv,target=/x,volume-driver=nope",
		"type=image,source=none:v1,target=/x", "type=nope,target=/x",
	} {
		if got := d.Berth("create", "--pull", "never", "--mount", mount, image); got.Code == 0 {
			t.Errorf("%s was taken", mount)
		}
	}
	ids = append(ids, d.Berth("create", image).OK(t))
	for !strings.Contains(keys[len(keys)-1], ids[len(ids)-1]) {
		select {
		case e := <-stream:
			keys = append(keys, prepared(t, e))
		case err := <-errs:
			t.Fatal(err)
		}
	}
	for _, key := range keys {
		if !slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(key, id) }) {
			t.Errorf("a root filesystem was made for a request that was refused: %s", key)
		}
	}
	d.Berth(append([]string{"rm"}, ids...)...).OK(t)
	if got := d.Berth("volume", "ls", "-q").OK(t); got != "" {
		t.Errorf("volumes are left: %s", got)
	}
	awaitClean(t, d)
}

// prepared is the key of the snapshot that an event tells of.
func prepared(t *testing.T, e *events.Envelope) string {
	t.Helper()
	var made apievents.SnapshotPrepare
	if err := typeurl.UnmarshalTo(e.Event, &made); err != nil {
		t.Fatal(err)
	}
	return made.Key
}
