package config

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func parseBuilder(t *testing.T, json string) (Builder, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "daemon.json")
	if err := os.WriteFile(file, []byte(`{"builder":`+json+`}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Parse([]string{"--config-file", file}, io.Discard)
	if err != nil {
		return Builder{}, err
	}
	return c.Builder, nil
}

func TestBuilder(t *testing.T) {
	yes, no := true, false
	for json, want := range map[string]Builder{
		`{}`:                  {Frontends: dockerFrontends},
		`null`:                {Frontends: dockerFrontends},
		`{"frontends": []}`:   {Frontends: []string{}},
		`{"maxContext":"1k"}`: {Frontends: dockerFrontends, MaxContext: 1024},
		`{"frontends":["*"],"entitlements":{"network-host":false,"security-insecure":true}}`: {
			Frontends: []string{"*"}, Entitlements: Entitlements{NetworkHost: &no, SecurityInsecure: &yes}},
		`{"gc":{"enabled":false,"defaultKeepStorage":"2k","defaultMaxUsedSpace":7}}`: {
			Frontends: dockerFrontends, GC: BuilderGC{Enabled: &no, KeepStorage: 2048, ReservedSpace: 2048, MaxUsedSpace: 7}},
		`{"gc":{"policy":[{"keepStorage":"1k","filter":["unused-for=2h","type=regular"]},{"all":true,"keepDuration":"3m"}]}}`: {
			Frontends: dockerFrontends, GC: BuilderGC{Policy: []GCRule{
				{KeepStorage: 1024, ReservedSpace: 1024, Filter: []string{"type==regular"}, Age: 2 * time.Hour},
				{All: true, KeepDuration: "3m", Age: 3 * time.Minute},
			}}},
	} {
		if want.MaxContext == 0 {
			want.MaxContext = defaultMaxContext
		}
		got, err := parseBuilder(t, json)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", json, got, err, want)
		}
	}
	for json, want := range map[string]string{
		`{"cache":1}`:                                 `unknown field "cache"`,
		`{"gc":{"defaultKeepStorage":"much"}}`:        "much",
		`{"gc":{"enabled":"yes"}}`:                    "builder.gc.enabled",
		`{"gc":{"policy":[{"filter":["x=y"]}]}}`:      `rule 1: there is no filter "x"`,
		`{"gc":{"policy":[{"filter":["type"]}]}}`:     "must be key=value",
		`{"gc":{"policy":[{},{"keepDuration":"x"}]}}`: `rule 2: "x" is not a duration`,
		`{"entitlements":{"all":true}}`:               `unknown field "all"`,
	} {
		if got, err := parseBuilder(t, json); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %s", json, got, err, want)
		}
	}
}
