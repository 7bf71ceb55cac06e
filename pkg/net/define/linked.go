package define

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// Linked is what the options of a macvlan or ipvlan network say.
type Linked struct {
	Parent string // the host's interface; "" when none was asked for
	Mode   string
	Flag   string // ipvlan's
	MTU    int    // 0 is the parent's
}

// Passthru is the mode of macvlan that has its parent alone.
const Passthru = "passthru"

// ParseLinked reads the options of a network of these drivers. Those that it
// does not know have no effect, as Docker has it.
func ParseLinked(driver string, o map[string]string) (l Linked, err error) {
	r := reader{options: o}
	l = Linked{Parent: o["parent"], Mode: o[driver+"_mode"], MTU: r.mtu()}
	modes, standard := []string{"bridge", "private", Passthru, "vepa"}, "bridge"
	if driver == DriverIPvlan {
		modes, standard = []string{"l2", "l3", "l3s"}, "l2"
		if l.Flag = o["ipvlan_flag"]; l.Flag == "" {
			l.Flag = "bridge"
		}
		if !slices.Contains([]string{"bridge", "private", "vepa"}, l.Flag) {
			return l, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
				"requested ipvlan flag '%s' is not valid, 'bridge' is the ipvlan driver default", l.Flag))
		}
	}
	if l.Mode == "" {
		l.Mode = standard
	}
	switch {
	case !slices.Contains(modes, l.Mode):
		return l, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"requested %s mode '%s' is not valid, '%s' mode is the %s driver default", driver, l.Mode, standard, driver))
	case l.Parent == "lo":
		return l, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("loopback interface is not a valid %s parent link", driver))
	case l.Flag != "" && l.Flag != "bridge":
		return l, errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("ipvlan flag '%s' is not implemented", l.Flag))
	}
	return l, r.err
}

// VLAN takes the name of an interface that does not exist for one of a VLAN:
// eth0.10 is 10 on eth0.
func VLAN(name string) (parent string, id int, err error) {
	if !strings.Contains(name, ".") {
		return "", 0, errdefs.ErrInvalidArgument.WithMessage(
			fmt.Sprintf("invalid subinterface vlan name %s, example formatting is eth0.10", name))
	}
	parent, number, _ := strings.Cut(name, ".")
	if strings.Contains(number, ".") {
		return "", 0, errdefs.ErrInvalidArgument.WithMessage(
			fmt.Sprintf("required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received %s", name))
	}
	if id, err = strconv.Atoi(number); err != nil {
		return "", 0, errdefs.ErrInvalidArgument.WithMessage(
			fmt.Sprintf("unable to parse a valid vlan id from: %s (ex. eth0.10 for vlan 10)", number))
	}
	if id < 1 || id > 4094 {
		return "", 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("vlan id must be between 1-4094, received: %d", id))
	}
	return parent, id, nil
}
