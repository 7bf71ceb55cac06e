package container

import (
	"reflect"
	"strings"
	"testing"

	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

func TestNamed(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	r := &Record{ID: id, Name: "web", Config: &ctypes.Config{Hostname: "0123456789ab"}, Endpoints: map[string]*network.EndpointSettings{
		"front": {Aliases: []string{"www", "web"}}, "bridge": {Aliases: []string{"www"}}, "later": nil}}
	want := map[string]*network.EndpointSettings{
		"front": {Aliases: []string{"www", "web"}, DNSNames: []string{"web", "www", "0123456789ab"}}, "bridge": {Aliases: []string{"www"}}, "later": nil}
	if got := r.Named(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if r.Endpoints["front"].DNSNames != nil {
		t.Error("the record was changed")
	}
	r.Config.Hostname = "host"
	if got, want := r.DNSNames(nil), []string{"web", "0123456789ab", "host"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}
