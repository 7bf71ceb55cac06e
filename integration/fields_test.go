package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/berth-engine/berth/integration/golden"
	"github.com/berth-engine/berth/integration/harness"
	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/api/contract"
)

// TestFields has a real daemon say as much as it can, and compares it with the
// newest schema: a field that no answer ever had a value for is in
// pkg/api/contract/exceptions.txt with the reason, and no other is.
func TestFields(t *testing.T) {
	t.Parallel()
	v, err := contract.New()
	if err != nil {
		t.Fatal(err)
	}
	registry := harness.StartRegistry(t)
	pulled := registry.Push(sample, "team/app:v1")
	devices := t.TempDir()
	const gpu = `{"cdiVersion":"0.6.0","kind":"nvidia.com/gpu","devices":[{"name":"0","containerEdits":{"deviceNodes":[{"path":"/dev/null"}]}}]}`
	if err := os.WriteFile(filepath.Join(devices, "gpu.json"), []byte(gpu), 0o600); err != nil {
		t.Fatal(err)
	}
	d := harness.Start(t, harness.Options{Flags: []string{
		"--label", "rack=7", "--insecure-registry", "192.0.2.0/24", "--registry-mirror", "http://" + registry.Address,
		"--default-address-pool", "base=10.77.0.0/16,size=24", "-H", "tcp://127.0.0.1:0", "--tls=false", "--cdi-spec-dir", devices,
	}, Env: []string{"HTTP_PROXY=http://192.0.2.1:3128", "HTTPS_PROXY=http://192.0.2.1:3128", "NO_PROXY=127.0.0.1"}})
	wrap := func(base http.RoundTripper) http.RoundTripper {
		return v.Transport(base, func(err error) { t.Errorf("contract: %v", err) })
	}
	transport := &http.Transport{DialContext: d.Dial}
	defer transport.CloseIdleConnections()
	c := &talk{t: t, h: &http.Client{Transport: wrap(transport)}, dial: d.Dial, done: map[string]bool{}}
	c.engine(pulled)
	context := filepath.Join(t.TempDir(), "context.tar")
	if err := os.WriteFile(context, (layout{t: t}).tar(map[string][]byte{"Dockerfile": []byte("FROM " + image + "\nRUN echo made >/made\n")}), 0o600); err != nil {
		t.Fatal(err)
	}
	script := read(t, "testdata/rich.txt", func(f *os.File) ([]golden.Step, error) {
		return golden.Parse(f, map[string]string{"image": sample, "rich": richImage(t, "docker.io/library/rich:v1"), "context": context})
	})
	e := &golden.Engine{Vars: map[string]string{"REGISTRY": registry.Address, "CGROUP": d.CgroupParent()}, Name: "berthd", Socket: d.Socket, Root: d.Root, Wrap: wrap}
	if err := golden.Run(t.Context(), e, script, func(s golden.Step, status int, message string) {
		if status >= http.StatusBadRequest || status == 0 {
			t.Errorf("%s: %d %s", s.Request(), status, message)
		}
	}); err != nil {
		t.Fatal(err)
	}
	compareFields(t, v)
}

func compareFields(t *testing.T, v *contract.Validator) {
	t.Helper()
	listed, err := contract.ReadExceptions()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range api.Operations {
		if declined()[o.ID] != "" {
			continue
		}
		fields, err := v.Fields(o.ID)
		if err != nil {
			t.Fatal(err)
		}
		seen := v.Seen(o.ID)
		for _, f := range fields {
			if listed.Reason(contract.May, o.ID, f) != "" {
				continue
			}
			reason := listed.Reason(contract.Answer, o.ID, f)
			switch have := slices.Contains(seen, f); {
			case have && reason != "":
				t.Errorf("%s has %s, which is listed as never set: %s", o.ID, f, reason)
			case !have && reason == "":
				t.Errorf("%s never has %s", o.ID, f)
			}
		}
	}
	for _, e := range listed.Unused(contract.Answer) {
		t.Errorf("exceptions.txt:%d: the schema has no such field", e.Line)
	}
}
