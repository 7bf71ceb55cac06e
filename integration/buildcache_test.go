package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	"github.com/moby/moby/api/types/build"
)

// heavy is a build of which a step's layer, a cache mount and the context take 3 MB each.
func heavy(t *testing.T) string {
	return buildContext(t, "FROM "+image+"\nRUN --mount=type=cache,id=heavy,target=/c head -c 3000000 /dev/urandom | tee /c/f >/layer\nCOPY f /f\nCMD [\"wc\", \"-c\", \"/layer\"]\n",
		"f", strings.Repeat("f", 3_000_000))
}

// cacheOf asks for the build cache's part of system df.
func cacheOf(t *testing.T, d *harness.Daemon) (records []build.CacheRecord) {
	t.Helper()
	resp, err := d.HTTP().Get("http://berth/v1.51/system/df?type=build-cache")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var df struct{ BuildCache []build.CacheRecord }
	if err := json.NewDecoder(resp.Body).Decode(&df); err != nil {
		t.Fatal(err)
	}
	return df.BuildCache
}

// sizes are the cache's bytes by type.
func sizes(t *testing.T, d *harness.Daemon) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	for _, r := range cacheOf(t, d) {
		all[r.Type] += r.Size
	}
	return all
}

func pruneCache(t *testing.T, d *harness.Daemon, query url.Values) (status int, body string, report build.CachePruneReport) {
	t.Helper()
	resp, err := d.HTTP().Post("http://berth/v1.51/build/prune?"+query.Encode(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(b, &report) // an error's message is no report
	return resp.StatusCode, string(b), report
}

// The cache is counted, and pruned by what is asked for and no more.
func TestBuildCachePruned(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Build("berth", nil, "-t", "heavy", heavy(t)).OK(t)
	all := sizes(t, d)
	for _, kind := range []string{"regular", "exec.cachemount", "source.local"} {
		if all[kind] < 3_000_000 {
			t.Errorf("%s takes %d bytes", kind, all[kind])
		}
	}
	for name, client := range clients(t) {
		row := d.Client(client, nil, "system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Size}}").OK(t)
		if _, row, ok := strings.Cut(row, "Build Cache "); !ok || strings.HasPrefix(row, "0 ") || strings.Contains(row, " 0B") {
			t.Errorf("%s system df: %q", name, row)
		}
	}
	if got := d.Berth("system", "df", "-v").OK(t); !strings.Contains(got, "exec.cachemount") {
		t.Errorf("system df -v: %s", got)
	}
	filter := func(s string) url.Values { return url.Values{"all": {"1"}, "filters": {s}} }
	for _, nothing := range []url.Values{
		filter(`{"until":["24h"]}`), filter(`{"unused-for":["24h"]}`), filter(`{"id":["nobody"]}`), filter(`{"type":["frontend"]}`),
		{"all": {"1"}, "reserved-space": {"1000000000"}}, {"all": {"1"}, "keep-storage": {"1000000000"}}, {"all": {"1"}, "max-used-space": {"1000000000"}},
	} {
		if status, body, r := pruneCache(t, d, nothing); status != http.StatusOK || len(r.CachesDeleted) != 0 || r.SpaceReclaimed != 0 {
			t.Errorf("%v: status %d: %s", nothing, status, body)
		}
	}
	for query, want := range map[string]string{
		"filters=" + url.QueryEscape(`{"foo":["x"]}`): "invalid filter 'foo'", "filters=" + url.QueryEscape(`{"id":["a","b"]}`): "filters expect only one value",
		"filters=" + url.QueryEscape(`{"until":["soon"]}`): "soon", "filters=%7B": "filter", "keep-storage=much": "keep-storage", "reserved-space=much": "reserved-space",
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if status, body, _ := pruneCache(t, d, q); status != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("%s: status %d: %s", query, status, body)
		}
	}
	// One record, one kind, all that was not used since.
	records := cacheOf(t, d)
	one := records[slices.IndexFunc(records, func(r build.CacheRecord) bool { return r.Type == "source.local" })]
	if _, body, r := pruneCache(t, d, filter(`{"id":["`+one.ID+`"]}`)); !slices.Equal(r.CachesDeleted, []string{one.ID}) {
		t.Errorf("by ID: %s", body)
	}
	if _, body, r := pruneCache(t, d, filter(`{"type":["exec.cachemount"]}`)); len(r.CachesDeleted) != 1 || r.SpaceReclaimed < 3_000_000 {
		t.Errorf("by type: %s", body)
	}
	if left := sizes(t, d); left["exec.cachemount"] != 0 || left["regular"] < 3_000_000 {
		t.Errorf("left after pruning by type: %v", left)
	}
	if got := d.Berth("builder", "prune", "-af", "--filter", "until=1ms").OK(t); !strings.Contains(got, "Total") {
		t.Errorf("builder prune: %s", got)
	}
	if left := cacheOf(t, d); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if got := d.Berth("run", "--rm", "heavy").OK(t); got != "3000000 /layer" {
		t.Errorf("the image without the cache says %q", got)
	}
	d.Build("berth", nil, heavy(t)).OK(t)
	if got := d.Berth("system", "prune", "-af").OK(t); !strings.Contains(got, "Deleted build cache objects:") || len(cacheOf(t, d)) != 0 {
		t.Errorf("system prune: %s", got)
	}
}

// collected has BuildKit started, which collects then, and waits until the log says so.
// Who asks for sizes meanwhile keeps records from the collection.
func collected(t *testing.T, d *harness.Daemon) map[string]int64 {
	t.Helper()
	const told = `msg="build cache collected"`
	before := strings.Count(d.Log(), told)
	pruneCache(t, d, url.Values{"filters": {`{"id":["nobody"]}`}})
	await(t, "a collection", func() bool { return strings.Count(d.Log(), told) > before })
	return sizes(t, d)
}

// builder.gc of daemon.json says what is collected without anybody asking.
func TestBuildCacheCollected(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "daemon.json")
	write := func(gc string) {
		if err := os.WriteFile(config, []byte(`{"builder": {"gc": `+gc+`}}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"enabled": false}`)
	d := start(t, harness.Options{Flags: []string{"--config-file", config}})
	d.Build("berth", nil, "-t", "heavy", heavy(t)).OK(t)
	for i, c := range []struct {
		gc   string
		done func(map[string]int64) bool
	}{
		{`{"policy": [{"filter": ["type=exec.cachemount"], "maxUsedSpace": "1MB"}]}`,
			func(left map[string]int64) bool { return left["exec.cachemount"] == 0 && left["regular"] >= 3_000_000 }},
		{`{"policy": [{"filter": ["type==source.local"], "keepStorage": "1kB", "maxUsedSpace": "1kB"}]}`,
			func(left map[string]int64) bool { return left["source.local"] == 0 && left["regular"] >= 3_000_000 }},
		{`{"defaultKeepStorage": "1MB", "defaultMaxUsedSpace": "1MB"}`,
			func(left map[string]int64) bool { return left["regular"] < 2_000_000 }},
	} {
		d.Terminate()
		write(c.gc)
		d.Run()
		if i == 2 { // what an image shares with the cache takes no space of the cache's
			d.Berth("rmi", "heavy").OK(t)
		}
		if left := collected(t, d); !c.done(left) {
			t.Errorf("%s is not followed: %v", c.gc, left)
		}
	}
	d.Terminate()
	write(`{"policy": [{"filter": ["colour=blue"]}]}`)
	if err := d.Launch(); err == nil || !strings.Contains(d.Log(), `there is no filter "colour"`) {
		t.Errorf("a policy that is none: %v", err)
	}
	write(`{}`)
	d.Run()
}
