package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/config"
)

// refused has for each key of the configuration file a value that no start would take,
// and what is said of it. Keys of anything are those that any value of their type does
// for; their type is checked with a value of another one.
var refused = map[string]struct{ value, want string }{
	"allow-direct-routing": anything, "debug": anything, "discard-unpacked-layers": anything,
	"experimental": anything, "icc": anything, "init": anything, "ip-forward": anything, "ip-forward-no-drop": anything, "ip-masq": anything,
	"no-new-privileges": anything, "userland-proxy": anything, "image-gc.dry-run": anything, "dns-search": anything, "dns-opts": anything,
	"proxies.no-proxy": anything, "tls": anything,

	"bip":                      {`"10.0.0.0/33"`, "bip:"},
	"bip6":                     {`"fd00::1/64"`, "bip6:"}, // without ipv6
	"bridge":                   {`"a/b"`, "bridge:"},
	"builder":                  {`{"gc":{"policy":[{"filter":["no=x"]}]}}`, "builder.gc.policy"},
	"cdi-spec-dirs":            {`["relative"]`, "cdi-spec-dirs"},
	"cgroup-parent":            {`"relative"`, "cgroup-parent"},
	"cni-bin-dir":              {`"relative"`, "cni-bin-dir"},
	"cni-conf-dir":             {`"relative"`, "cni-conf-dir"},
	"containerd":               {`"relative"`, "containerd:"},
	"containerd-namespace":     {`"a/b"`, "containerd-namespace"},
	"data-root":                {`"relative"`, "data-root"},
	"default-address-pools":    {`[{"base":"10.0.0.0/8","size":33}]`, "default-address-pools"},
	"default-cgroupns-mode":    {`"none"`, "cgroup namespace mode"},
	"default-gateway":          {`"10.0.0.300"`, "default-gateway"},
	"default-gateway-v6":       {`"fd00::1"`, "default-gateway-v6"}, // without ipv6
	"default-ipc-mode":         {`"host"`, "IPC mode"},
	"default-network-opts":     {`{"bridge":{"com.docker.network.driver.mtu":"x"}}`, "com.docker.network.driver.mtu"},
	"default-runtime":          {`"nosuch"`, "default runtime 'nosuch'"},
	"default-shm-size":         {`"x"`, "default-shm-size"},
	"default-ulimits":          {`{"nofile":{"Name":"nofile","Soft":2,"Hard":1}}`, "default-ulimits"},
	"dns":                      {`["nowhere"]`, "dns:"},
	"exec-opts":                {`["native.cgroupdriver=systemd"]`, "exec-opts"},
	"exec-root":                {`"relative"`, "exec-root"},
	"features":                 {`{"nosuch":true}`, "features"},
	"fixed-cidr":               {`"10.0.0.0"`, "fixed-cidr"},
	"fixed-cidr-v6":            {`"fd00::/64"`, "fixed-cidr-v6"}, // without ipv6
	"group":                    {`"no-such-group"`, "group no-such-group not found"},
	"host-gateway-ip":          {`"nowhere"`, "host-gateway-ip"},
	"host-gateway-ips":         {`["nowhere"]`, "host-gateway-ips"},
	"hosts":                    {`["ftp://x"]`, "ftp"},
	"image-gc.high":            {`101`, "image-gc"},
	"image-gc.keep":            {`["["],"high":90,"low":80`, "syntax error in pattern"},
	"image-gc.low":             {`101`, "image-gc"},
	"init-path":                {`"relative"`, "init-path"},
	"insecure-registries":      {`["a/b"]`, "insecure registry"},
	"ip":                       {`"nowhere"`, "ip:"},
	"ipv6":                     {`"yes"`, "ipv6"},
	"labels":                   {`["novalue"]`, "novalue"},
	"live-restore":             {`false`, "live-restore"},
	"log-driver":               {`"nosuch"`, "no log driver named 'nosuch'"},
	"log-format":               {`"xml"`, "log format"},
	"log-level":                {`"loud"`, "logging level"},
	"log-opts":                 {`{"max-size":"x"}`, "max-size"},
	"max-concurrent-downloads": {`0`, "downloads"},
	"max-concurrent-uploads":   {`0`, "uploads"},
	"max-download-attempts":    {`0`, "attempts"},
	"metrics-addr":             {`"127.0.0.1:99999"`, "metrics-addr"},
	"mtu":                      {`1`, "MTU"},
	"pidfile":                  {`"relative"`, "pidfile"},
	"proxies.http-proxy":       {`"nowhere"`, "http-proxy"},
	"proxies.https-proxy":      {`"nowhere"`, "https-proxy"},
	"proxy-snapshotters":       {`{"a":"relative"}`, "proxy-snapshotters"},
	"read-only-hosts":          {`["tcp://127.0.0.1:1"]`, "--tlsverify"},
	"registry-mirrors":         {`["mirror"]`, "mirror"},
	"runtimes":                 {`{"a":{"path":"/no/such/runtime"}}`, "/no/such/runtime"},
	"seccomp-profile":          {`"ARRAY"`, "seccomp-profile"},
	"shutdown-timeout":         {`-2`, "shutdown timeout"},
	"storage-driver":           {`"nosuch"`, "storage-driver"},
	"tlscacert":                {`"/no/such/file","hosts":["tcp://127.0.0.1:1"],"tlsverify":true`, "TLS"},
	"tlscert":                  {`"/no/such/file","hosts":["tcp://127.0.0.1:1"],"tlsverify":true`, "/no/such/file"},
	"tlskey":                   {`"relative","tls":true`, "tlskey"},
	"tlsverify":                {`true,"tls":false`, "tlsverify"},
}

var anything = struct{ value, want string }{`{"a":7}`, "expected"}

// TestValidate: --validate refuses what the start would.
func TestValidate(t *testing.T) {
	dir := t.TempDir()
	array := filepath.Join(dir, "array.json")
	if err := os.WriteFile(array, []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	left := maps.Clone(refused)
	for _, s := range config.Settings() {
		if s.Key == "" || s.Fixed { // what is fixed is pkg/config's alone
			continue
		}
		c, ok := refused[s.Key]
		if !ok {
			t.Errorf("%s: say what would be refused", s.Key)
			continue
		}
		delete(left, s.Key)
		text := `"` + s.Key + `": ` + strings.ReplaceAll(c.value, "ARRAY", array)
		if object, member, ok := strings.Cut(s.Key, "."); ok {
			text = `"` + object + `": {"` + member + `": ` + c.value + `}`
		}
		file := filepath.Join(dir, "daemon.json")
		if err := os.WriteFile(file, []byte("{"+text+"}"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := configuration([]string{"--config-file", file, "--validate"}, io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want something of %q", text, err, c.want)
		}
	}
	if len(left) > 0 {
		t.Errorf("there are no settings %v", slices.Sorted(maps.Keys(left)))
	}
	if _, err := configuration([]string{"--config-file", filepath.Join(dir, "none"), "--validate"}, io.Discard); err == nil {
		t.Error("a file that is not there")
	}
}
