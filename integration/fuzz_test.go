package integration

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/api/contract"
	"github.com/getkin/kin-openapi/openapi3"
)

var (
	fuzzRequests = flag.Int("fuzz-requests", 600, "how many requests TestFuzzedRequests sends in each of its two rounds")
	fuzzSeed     = flag.Uint64("fuzz-seed", 1, "which ones")
)

// TestFuzzedRequests sends requests for every route that are malformed in places, on a
// host without a way out: none makes berthd panic or fail, and nothing is left of them.
func TestFuzzedRequests(t *testing.T) {
	t.Parallel()
	d := harness.Start(t, harness.Options{Host: harness.NewOtherHost(t)})
	d.Berth("load", "-i", sample).OK(t)
	context := t.TempDir()
	if err := os.WriteFile(filepath.Join(context, "Dockerfile"), []byte("FROM "+image+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Berth("build", "-q", context).OK(t) // the builder stays from its first use on
	f := newFuzzer(t, d)
	// What else comes with its first use comes in the first round; the second must leave nothing.
	f.round(*fuzzSeed)
	base := f.clean()
	f.round(*fuzzSeed + 1)
	var now left
	defer func() {
		if t.Failed() {
			t.Logf("%d goroutines and %d files at first, now %d and %d:\n%s", base.goroutines, base.files, now.goroutines, now.files, now.profile)
		}
	}()
	await(t, "the requests are gone", func() bool {
		now = f.clean()
		return now.goroutines <= base.goroutines && now.files <= base.files
	})
}

// fuzzer makes requests out of the schema.
type fuzzer struct {
	t      *testing.T
	d      *harness.Daemon
	ops    []api.Operation
	inputs map[string][]contract.Input
}

func newFuzzer(t *testing.T, d *harness.Daemon) *fuzzer {
	t.Helper()
	v, err := contract.New()
	if err != nil {
		t.Fatal(err)
	}
	f := &fuzzer{t: t, d: d, inputs: map[string][]contract.Input{}}
	f.ops = slices.Concat(api.Operations, api.Unlisted, api.Own)
	for _, o := range f.ops {
		if f.inputs[o.ID], err = v.Inputs(o.ID); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// round sends requests, several at a time.
func (f *fuzzer) round(seed uint64) {
	f.t.Helper()
	const clients = 4
	var all sync.WaitGroup
	for n := range clients {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		all.Go(func() {
			for i := range *fuzzRequests / clients {
				if i%25 == 0 {
					f.send(r, api.Operation{ID: "ContainerCreate"}, "POST /containers/create?name=box", `{"Image":"`+image+`","OpenStdin":true}`, "Content-Type: application/json\r\n")
					f.send(r, api.Operation{ID: "ContainerStart"}, "POST /containers/box/start", "", "")
				}
				f.one(r)
			}
		})
	}
	all.Wait()
}

// left is what a daemon has when nobody asks for anything.
type left struct {
	goroutines, files int
	profile           string
}

var total = regexp.MustCompile(`goroutine profile: total (\d+)`)

// clean removes all that the requests made, and counts.
func (f *fuzzer) clean() (l left) {
	f.t.Helper()
	for _, ids := range strings.Fields(f.d.Berth("ps", "-aq", "--no-trunc").OK(f.t)) {
		f.d.Berth("rm", "-f", "-v", ids)
	}
	f.d.Berth("system", "prune", "-af", "--volumes").OK(f.t)
	f.d.Berth("volume", "prune", "-af").OK(f.t)
	f.d.Berth("load", "-i", sample).OK(f.t)
	h := &http.Transport{DialContext: f.d.Dial, DisableKeepAlives: true}
	profile := get(f.t, &http.Client{Transport: h}, "http://berth/debug/pprof/goroutine?debug=1")
	n, err := strconv.Atoi(total.FindStringSubmatch(profile)[1])
	if err != nil {
		f.t.Fatal(err)
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", f.d.Pid()))
	if err != nil {
		f.t.Fatal(err)
	}
	return left{n, len(files), profile}
}

// nasties stand for names, times, paths and whatever else is a string.
var nasties = []string{
	"", "box", "box", image, "bridge", "none", "data", "x", "0", "-1", "1", "99999999999999999999", "1e9", "NaN", "true", "null", "..", "../../etc/passwd", "/", "//", "a/b/c",
	"UPPER", "sp ace", "%", "%00", "\x00", "ü", strings.Repeat("a", 300), "sha256:x", "sha256:" + strings.Repeat("0", 64), strings.Repeat("f", 64), "a:b:c:d",
	"127.0.0.1:99999", "::", "10.0.0.0/33", "{}", "[]", `{"a":`, `{"label":["x"]}`, `{"label":{"x":true}}`, `{"until":["soon"]}`, `[null]`, `{"a":null}`, "container:", "container:box",
	"service:x", "KILL", "x=y", "=", "/x:/y:z", "tcp", "80/tcp", "80-90/udp", "70000/tcp", "linux/amd64", `{"os":"linux","architecture":"amd64"}`, "removed", "-",
}

func nasty(r *rand.Rand) string { return nasties[r.IntN(len(nasties))] }

// fieldValue is one for a field: of its kind mostly.
func fieldValue(r *rand.Rand, s *openapi3.Schema) any {
	kind := r.IntN(8)
	switch {
	case kind == 0:
		return []any{nil, -1, 1e300, nasty(r), true, []any{nil}, map[string]any{"": nil}, []any{map[string]any{}}}[r.IntN(8)]
	case s.Type.Is("boolean"):
		return kind%2 == 0
	case s.Type.Is("integer"):
		return []any{0, 1, -1, 7, 1 << 20, 6 << 20, int64(1) << 62, 65536, 100}[r.IntN(9)]
	case s.Type.Is("array"):
		return []any{nasty(r), nasty(r)}[:r.IntN(3)]
	case s.Type.Is("object"):
		return map[string]any{nasty(r): []any{nasty(r), map[string]any{}, nil}[r.IntN(3)]}
	}
	return nasty(r)
}

// minimal are the bodies without which an operation gets nowhere.
var minimal = map[string]string{
	"ContainerCreate": `{"Image":"` + image + `"}`, "ContainerExec": `{"Cmd":["true"]}`, "ExecStart": `{"Detach":true}`, "NetworkCreate": `{"Name":"net"}`,
	"NetworkConnect": `{"Container":"box"}`, "NetworkDisconnect": `{"Container":"box"}`, "ContainerUpdate": `{}`, "VolumeCreate": `{}`, "SystemAuth": `{}`, "ImageCommit": `{}`,
}

// one makes and sends a request.
func (f *fuzzer) one(r *rand.Rand) {
	o := f.ops[r.IntN(len(f.ops))]
	path := variable.ReplaceAllStringFunc(o.Path, func(string) string { return escaped(r, nasty(r)) })
	path = []string{"", "", "", "/v1.24", "/v1.40", "/v1.44", "/v1.55", "/v1.99", "/v1.", "/" + escaped(r, nasty(r))}[r.IntN(10)] + path
	query := url.Values{}
	headers := []string{"", "Connection: Upgrade\r\nUpgrade: tcp\r\n", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "Accept: application/json-seq\r\n", "Expect: 100-continue\r\n"}[max(0, r.IntN(15)-10)]
	body := minimal[o.ID]
	var tree map[string]any
	_ = json.Unmarshal([]byte(body), &tree) // nil for none
	for _, in := range f.inputs[o.ID] {
		if r.IntN(3+len(f.inputs[o.ID])/2) > 1 {
			continue
		}
		switch in.Kind {
		case contract.Query:
			query.Add(in.Name, fmt.Sprint(fieldValue(r, in.Schema)))
		case contract.Header:
			headers += in.Name + ": " + strings.NewReplacer("\x00", "", "\n", "").Replace(nasty(r)) + "\r\n"
		case contract.Body:
			putField(r, tree, strings.Split(in.Name, "."), fieldValue(r, in.Schema))
		}
	}
	if tree != nil {
		raw, err := json.Marshal(tree)
		if err != nil {
			f.t.Error(err)
			return
		}
		body = string(raw)
	}
	body = mangle(r, body)
	if body != "" && r.IntN(20) > 0 {
		headers += "Content-Type: " + []string{"application/json", "application/json", "application/json", "application/x-tar", "text/plain", nasty(r)}[r.IntN(6)] + "\r\n"
	}
	if q := query.Encode(); q != "" {
		path += "?" + q
	}
	f.send(r, o, o.Method+" "+path, body, strings.ReplaceAll(headers, "\x00", ""))
}

func escaped(r *rand.Rand, s string) string {
	if r.IntN(2) == 0 {
		return url.PathEscape(s)
	}
	return strings.NewReplacer(" ", "%20", "\x00", "%00", "%", "%25", "?", "%3F", "#", "%23").Replace(s)
}

// putField sets a field by its path.
func putField(r *rand.Rand, at map[string]any, names []string, v any) {
	name, list := strings.CutSuffix(names[0], "[]")
	if name == "*" {
		name = nasty(r)
	}
	if at == nil || len(names) == 1 {
		if at != nil {
			at[name] = v
		}
		return
	}
	below, _ := at[name].(map[string]any)
	if below == nil {
		below = map[string]any{}
	}
	putField(r, below, names[1:], v)
	if at[name] = below; list {
		at[name] = []any{below}
	}
}

// mangle breaks some bodies.
func mangle(r *rand.Rand, body string) string {
	switch r.IntN(24) {
	case 0:
		return body[:r.IntN(len(body)+1)]
	case 1:
		return body + body
	case 2:
		return strings.Repeat(`{"a":[`, 5000)
	case 3:
		return strings.Repeat("\xff\x00", 300)
	case 4:
		return "null"
	}
	return body
}

// send writes the request as it is, and looks at the answer: its beginning, since some
// have no end.
func (f *fuzzer) send(r *rand.Rand, o api.Operation, line, body, headers string) {
	conn, err := f.d.Dial(f.t.Context(), "", "")
	if err != nil {
		f.t.Errorf("berthd takes no connection any more: %v", err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	_, _ = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: berth\r\n%sContent-Length: %d\r\n\r\n%s", line, headers, len(body), body)
	if r.IntN(30) == 0 {
		return // a client that does not wait for the answer
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: o.Method})
	if err != nil {
		return // an operation that takes its time, such as a stop
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusInternalServerError {
		raw, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if strings.Contains(string(raw), "network is unreachable") || strings.Contains(string(raw), "no such host") {
			return // a registry, of which there is none
		}
		f.t.Errorf("%s with %q and %.600s: status %d: %s", line, headers, body, resp.StatusCode, raw)
	}
}
