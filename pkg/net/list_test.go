package net

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

func TestLookup(t *testing.T) {
	m := open(t)
	n, err := m.Lookup("bridge")
	if err != nil || n.Driver != "bridge" || n.Scope != "local" || len(n.ID) != 64 || n.Created.IsZero() ||
		n.Options[define.OptBridgeName] != "berth0" || n.Options[define.OptMTU] != "1500" {
		t.Errorf("%+v, %v", n, err)
	}
	n.Options[define.OptMTU] = "changed by the caller"
	for _, ref := range []string{n.ID, n.ID[:12], "default"} {
		if got, err := m.Lookup(ref); err != nil || got.Name != "bridge" || got.Options[define.OptMTU] != "1500" {
			t.Errorf("%s: %+v, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"", "nope", n.ID + "0", "../bridge"} {
		_, err := m.Lookup(ref)
		if !errdefs.IsNotFound(err) || err.Error() != fmt.Sprintf("network %s not found", ref) {
			t.Errorf("%q: %v", ref, err)
		}
	}
	// A network may be called as another's ID, or a part of it.
	for ref, want := range map[string]string{n.ID: "bridge", n.ID[:9]: n.ID[:9]} {
		if _, err := m.Create(t.Context(), network.CreateRequest{Name: ref}); err != nil {
			t.Fatal(err)
		}
		if got, err := m.Lookup(ref); err != nil || got.Name != want {
			t.Errorf("%s: %+v, %v", ref, got, err)
		}
	}
	if _, err := m.Inspect("bridge", false, "swarm"); !errdefs.IsNotFound(err) {
		t.Errorf("scope swarm: %v", err)
	}
}

func TestList(t *testing.T) {
	m := open(t)
	for _, tt := range []struct {
		filter filters.Args
		want   []string // nil: InvalidArgument
	}{
		{nil, []string{"bridge", "host", "none"}},
		{filters.Args{"name": {"o"}}, []string{"host", "none"}},
		{filters.Args{"name": {"^no", "br"}}, []string{"bridge", "none"}},
		{filters.Args{"name": {"("}}, []string{}},
		{filters.Args{"driver": {"null"}}, []string{"none"}},
		{filters.Args{"scope": {"swarm"}}, []string{}},
		{filters.Args{"type": {"builtin"}}, []string{"bridge", "host", "none"}},
		{filters.Args{"type": {"custom"}}, []string{}},
		{filters.Args{"type": {"x"}}, nil},
		{filters.Args{"dangling": {"true"}}, []string{}},
		{filters.Args{"dangling": {"false"}}, []string{"bridge", "host", "none"}},
		{filters.Args{"dangling": {"maybe"}}, nil},
		{filters.Args{"label": {"a"}}, []string{}},
		{filters.Args{"colour": {"red"}}, nil},
	} {
		got, err := m.List(tt.filter)
		if tt.want == nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%v: %v, %v", tt.filter, got, err)
			}
			continue
		}
		names := []string{}
		for _, n := range got {
			names = append(names, n.Name)
		}
		if err != nil || !slices.Equal(names, tt.want) {
			t.Errorf("%v: %v, %v", tt.filter, names, err)
		}
	}
}

// The JSON that a client of Docker gets for a default bridge.
func TestInspectJSON(t *testing.T) {
	m := open(t)
	in, err := m.Inspect("bridge", false, "")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.NewReplacer(in.ID, "ID", in.Created.Format("2006-01-02T15:04:05.999999999Z07:00"), "CREATED").Replace(toJSON(t, in))
	want := `{"Name":"bridge","Id":"ID","Created":"CREATED","Scope":"local","Driver":"bridge","EnableIPv4":true,"EnableIPv6":false,` +
		`"IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"172.17.0.0/16","Gateway":"172.17.0.1"}]},` +
		`"Internal":false,"Attachable":false,"Ingress":false,"ConfigFrom":{"Network":""},"ConfigOnly":false,` +
		`"Options":{"com.docker.network.bridge.default_bridge":"true","com.docker.network.bridge.enable_icc":"true",` +
		`"com.docker.network.bridge.enable_ip_masquerade":"true","com.docker.network.bridge.host_binding_ipv4":"0.0.0.0",` +
		`"com.docker.network.bridge.name":"berth0","com.docker.network.driver.mtu":"1500"},"Labels":{},"Containers":{},` +
		`"Status":{"IPAM":{"Subnets":{"172.17.0.0/16":{"IPsInUse":3,"DynamicIPsAvailable":65533}}}}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// And for one with everything, and a container on it.
func TestInspectUserJSON(t *testing.T) {
	m := open(t)
	yes := true
	q := network.CreateRequest{Name: "app", EnableIPv6: &yes, Internal: true, Attachable: true, Labels: map[string]string{"a": "b"},
		Options: map[string]string{define.OptMTU: "1300"},
		IPAM: &network.IPAM{Options: map[string]string{"o": "p"}, Config: []network.IPAMConfig{
			{Subnet: netip.MustParsePrefix("10.66.0.0/16"), IPRange: netip.MustParsePrefix("10.66.5.0/24"),
				Gateway: netip.MustParseAddr("10.66.5.254"), AuxAddress: map[string]netip.Addr{"tap": netip.MustParseAddr("10.66.5.1")}},
			{Subnet: netip.MustParsePrefix("fd00:66::/64")}}}}
	create(t, m, q)
	_, made := setup(t, m, "c", on("app"))
	in, err := m.Inspect("app", true, "local")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.NewReplacer(in.ID, "ID", in.Created.Format("2006-01-02T15:04:05.999999999Z07:00"), "CREATED", made["app"].EndpointID, "ENDPOINT").Replace(toJSON(t, in))
	want := `{"Name":"app","Id":"ID","Created":"CREATED","Scope":"local","Driver":"bridge","EnableIPv4":true,"EnableIPv6":true,` +
		`"IPAM":{"Driver":"default","Options":{"o":"p"},"Config":[` +
		`{"Subnet":"10.66.0.0/16","IPRange":"10.66.5.0/24","Gateway":"10.66.5.254","AuxiliaryAddresses":{"tap":"10.66.5.1"}},` +
		`{"Subnet":"fd00:66::/64","Gateway":"fd00:66::1"}]},` +
		`"Internal":true,"Attachable":true,"Ingress":false,"ConfigFrom":{"Network":""},"ConfigOnly":false,` +
		`"Options":{"com.docker.network.driver.mtu":"1300"},"Labels":{"a":"b"},` +
		`"Containers":{"c":{"Name":"c","EndpointID":"ENDPOINT","MacAddress":"02:42:0a:42:05:00","IPv4Address":"10.66.5.0/16","IPv6Address":"fd00:66::2/64"}},` +
		`"Status":{"IPAM":{"Subnets":{"10.66.0.0/16":{"IPsInUse":5,"DynamicIPsAvailable":253},` +
		`"fd00:66::/64":{"IPsInUse":3,"DynamicIPsAvailable":18446744073709551613}}}}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
