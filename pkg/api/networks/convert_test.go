package networks

import (
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/network"
)

func TestConvertInspect(t *testing.T) {
	for minor, status := range map[uint16]bool{24: false, 51: false, 52: true, 55: true} {
		n := convertInspect(network.Inspect{Status: &network.Status{}}, api.V1(minor))
		if (n.Status != nil) != status {
			t.Errorf("1.%d: status %v", minor, n.Status)
		}
		if n.Containers == nil || n.Options == nil || n.Labels == nil || n.IPAM.Config == nil {
			t.Errorf("1.%d: something is null: %+v", minor, n)
		}
	}
}

func TestConvertEndpoint(t *testing.T) {
	for minor, want := range map[uint16]struct{ mac, priority bool }{24: {}, 43: {}, 44: {true, false}, 47: {true, false}, 48: {true, true}} {
		ep := &network.EndpointSettings{MacAddress: network.HardwareAddr{2, 0, 0, 0, 0, 1}, GwPriority: 1}
		if convertEndpoint(ep, api.V1(minor)); (ep.MacAddress != nil) != want.mac || (ep.GwPriority != 0) != want.priority {
			t.Errorf("1.%d: %+v", minor, ep)
		}
	}
}
