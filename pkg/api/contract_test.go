package api_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/api/contract"
)

// requests has one good request for each operation that is served, and for the inputs
// of TestInputs that need another.
var requests = map[string]struct{ target, body string }{
	"ContainerList":     {"/containers/json?all=1&size=1&limit=3", ""},
	"ContainerCreate":   {"/containers/create?name=web", `{"Image":"busybox","HostConfig":{"PortBindings":{"80/tcp":[]}}}`},
	"ContainerInspect":  {"/containers/web/json?size=1", ""},
	"ContainerLogs":     {"/containers/web/logs?stdout=1", ""},
	"ContainerResize":   {"/containers/web/resize?h=24&w=80", ""},
	"ContainerStart":    {"/containers/web/start", ""},
	"ContainerStop":     {"/containers/web/stop?t=1", ""},
	"ContainerRestart":  {"/containers/web/restart", ""},
	"ContainerKill":     {"/containers/web/kill?signal=TERM", ""},
	"ContainerRename":   {"/containers/web/rename?name=x", ""},
	"ContainerPause":    {"/containers/web/pause", ""},
	"ContainerUnpause":  {"/containers/web/unpause", ""},
	"ContainerAttach":   {"/containers/web/attach?stream=1&stdout=1", ""},
	"ContainerWait":     {"/containers/web/wait", ""},
	"ContainerTop":      {"/containers/web/top?ps_args=aux", ""},
	"ContainerStats":    {"/containers/web/stats?stream=0&one-shot=1", ""},
	"ContainerUpdate":   {"/containers/web/update", `{"Memory":1000000000,"RestartPolicy":{"Name":"always"}}`},
	"ContainerPrune":    {"/containers/prune", ""},
	"ContainerDelete":   {"/containers/web?force=1", ""},
	"ContainerExec":     {"/containers/web/exec", `{"Cmd":["true"]}`},
	"ExecStart":         {"/exec/" + someID + "/start", `{"Detach":true}`},
	"ExecResize":        {"/exec/" + someID + "/resize?h=1&w=2", ""},
	"ExecInspect":       {"/exec/" + someID + "/json", ""},
	"ImageList":         {"/images/json", ""},
	"ImageInspect":      {"/images/busybox/json", ""},
	"ImageAttestations": {"/images/busybox/attestations?statement=1", ""},
	"ImageHistory":      {"/images/busybox/history", ""},
	"ImageTag":          {"/images/busybox/tag?repo=a&tag=b", ""},
	"ImageDelete":       {"/images/busybox", ""},
	"ImageCreate":       {"/images/create?fromImage=busybox&tag=latest", ""},
	"ImagePush":         {"/images/registry:5000/busybox/push?tag=latest", ""},
	"ImagePrune":        {"/images/prune", ""},
	"ImageLoad":         {"/images/load", "x"},
	"ImageGet":          {"/images/busybox/get", ""},
	"ImageGetAll":       {"/images/get?names=busybox&names=a/b:c", ""},
	"NetworkList":       {"/networks", ""},
	"NetworkInspect":    {"/networks/bridge", ""},
	"NetworkCreate":     {"/networks/create", `{"Name":"mine","EnableIPv4":false,"IPAM":{"Config":[{"Subnet":"10.1.0.0/16","Gateway":""}]}}`},
	"NetworkConnect":    {"/networks/bridge/connect", `{"Container":"web","EndpointConfig":{"Aliases":["a"],"IPAMConfig":{"IPv4Address":"10.1.0.9"},"GwPriority":1}}`},
	"NetworkDisconnect": {"/networks/bridge/disconnect", `{"Container":"web","Force":true}`},
	"NetworkDelete":     {"/networks/bridge", ""},
	"NetworkPrune":      {"/networks/prune", ""},
	"VolumeList":        {"/volumes", ""},
	"VolumeInspect":     {"/volumes/data", ""},
	"VolumeCreate":      {"/volumes/create", `{"Name":"data"}`},
	"VolumeDelete":      {"/volumes/data", ""},
	"VolumePrune":       {"/volumes/prune", ""},
	"PluginList":        {"/plugins", ""},
	"ImageBuild":        {"/build?t=a&rm=1&buildargs=%7B%22A%22%3Anull%7D", "x"},
	"BuildPrune":        {"/build/prune?all=1&keep-storage=5", ""},
	"Session":           {"/session", ""},
	"SystemPing":        {"/_ping", ""},
	"SystemPingHead":    {"/_ping", ""},
	"SystemVersion":     {"/version", ""},
	"SystemInfo":        {"/info", ""},
	"SystemDataUsage":   {"/system/df?verbose=1&type=image&type=volume", ""},
	"SystemEvents":      {"/events?until=1", ""},

	"ImageCreate fromSrc":       {"/images/create", ""},
	"ImageCreate changes":       {"/images/create?fromSrc=-", ""},
	"ImageCreate message":       {"/images/create?fromSrc=-", ""},
	"ImageCreate repo":          {"/images/create?fromSrc=-", ""},
	"ContainerLogs stdout":      {"/containers/web/logs?stdout=1&stderr=1", ""},
	"SystemEvents since":        {"/events?until=99", ""},
	"ImageList identity":        {"/images/json?manifests=1", ""},
	"ContainerExec ConsoleSize": {"/containers/web/exec", `{"Cmd":["true"],"Tty":true}`},
	"ExecStart ConsoleSize":     {"/exec/" + someID + "/start", `{"Detach":true,"Tty":true}`},
	"BuildPrune reserved-space": {"/build/prune", ""},
	"ImageCommit container":     {"/commit?container=web", ""},

	"ContainerArchiveInfo": {"/containers/web/archive?path=/etc", ""},
	"ContainerArchive":     {"/containers/web/archive?path=/etc", ""},
	"PutContainerArchive":  {"/containers/web/archive?path=/etc", ""},
	"ContainerExport":      {"/containers/web/export", ""},
	"ContainerChanges":     {"/containers/web/changes", ""},
	"ImageCommit":          {"/commit?container=web&repo=x", ""},
	"SystemAuth":           {"/auth", `{"username":"u","password":"p","serveraddress":"registry:5000"}`},
	"ImageSearch":          {"/images/search?term=busybox&limit=5", ""},
	"DistributionInspect":  {"/distribution/registry:5000/busybox:1/json", ""},
}

// Every operation that is served is asked for in versions between which shapes
// changed, and its answer held against that version's schema; then again for
// something that does not exist. One that is served and not asked for fails
// the test.
func TestContract(t *testing.T) {
	v, err := contract.New()
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, newFakes().routes())
	socket := listen(t, s)
	base := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}
	defer base.CloseIdleConnections()
	version := ""
	client := http.Client{Transport: v.Transport(base, func(err error) { t.Errorf("version %q: %v", version, err) })}
	for _, version = range []string{"", "/v1.25", "/v1.29", "/v1.41", "/v1.43", "/v1.47", "/v1.51", "/v1.52"} {
		for _, o := range api.Operations {
			if q, ok := requests[o.ID]; ok {
				ask(t, client, o.Method, version+q.target, q.body)
				ask(t, client, o.Method, version+strings.Replace(q.target, "/web", "/nobody", 1), q.body)
			}
		}
	}
	v.Record("Session")                  // goes on in another protocol: TestUpgradeToAnotherProtocol
	v.Record("ContainerAttachWebsocket") // likewise: TestWebSocket
	exercised := v.Exercised()
	for _, o := range api.Operations {
		if s.Serves(o.ID) != slices.Contains(exercised, o.ID) {
			t.Errorf("%s: served %v, exercised %v", o.ID, s.Serves(o.ID), !s.Serves(o.ID))
		}
	}
}

func ask(t *testing.T, client http.Client, method, target, body string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://berth"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
}
