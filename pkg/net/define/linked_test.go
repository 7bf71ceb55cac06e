package define

import (
	"testing"

	"github.com/containerd/errdefs"
)

func TestParseLinked(t *testing.T) {
	for _, tt := range []struct {
		name, driver string
		options      map[string]string
		want         Linked
		fails        string
	}{
		{"nothing", DriverMacvlan, nil, Linked{Mode: "bridge"}, ""},
		{"all", DriverMacvlan, map[string]string{"parent": "eth0", "macvlan_mode": "vepa", OptMTU: "1400"}, Linked{Parent: "eth0", Mode: "vepa", MTU: 1400}, ""},
		{"ipvlan", DriverIPvlan, map[string]string{"parent": "eth0.5", "macvlan_mode": "x"}, Linked{Parent: "eth0.5", Mode: "l2", Flag: "bridge"}, ""},
		{"mode", DriverMacvlan, map[string]string{"macvlan_mode": "l2"}, Linked{}, "requested macvlan mode 'l2' is not valid, 'bridge' mode is the macvlan driver default"},
		{"ipvlan mode", DriverIPvlan, map[string]string{"ipvlan_mode": "bridge"}, Linked{}, "requested ipvlan mode 'bridge' is not valid, 'l2' mode is the ipvlan driver default"},
		{"flag", DriverIPvlan, map[string]string{"ipvlan_flag": "x"}, Linked{}, "requested ipvlan flag 'x' is not valid, 'bridge' is the ipvlan driver default"},
		{"loopback", DriverMacvlan, map[string]string{"parent": "lo"}, Linked{}, "loopback interface is not a valid macvlan parent link"},
		{"MTU", DriverMacvlan, map[string]string{OptMTU: "1"}, Linked{}, "failed to parse com.docker.network.driver.mtu value: 1 (the MTU must be between 68 and 65535)"},
	} {
		got, err := ParseLinked(tt.driver, tt.options)
		if tt.fails != "" {
			if !errdefs.IsInvalidArgument(err) || err.Error() != tt.fails {
				t.Errorf("%s: %v", tt.name, err)
			}
		} else if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
	if _, err := ParseLinked(DriverIPvlan, map[string]string{"ipvlan_flag": "vepa"}); !errdefs.IsNotImplemented(err) {
		t.Errorf("a flag that the plugin lacks: %v", err)
	}
}

func TestVLAN(t *testing.T) {
	for name, want := range map[string]string{
		"eth0":      "invalid subinterface vlan name eth0, example formatting is eth0.10",
		"eth0.1.2":  "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received eth0.1.2",
		"eth0.x":    "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)",
		"eth0.0":    "vlan id must be between 1-4094, received: 0",
		"eth0.4095": "vlan id must be between 1-4094, received: 4095",
	} {
		if _, _, err := VLAN(name); !errdefs.IsInvalidArgument(err) || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if parent, id, err := VLAN("eth0.10"); parent != "eth0" || id != 10 || err != nil {
		t.Errorf("eth0.10: %s, %d, %v", parent, id, err)
	}
}
