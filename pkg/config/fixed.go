package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// fixed is a setting of dockerd's that has one meaning here. Configurations that
// say what is so are taken over, others are told why not.
type fixed struct {
	key   string
	good  []string // values as JSON that are so; the first is the default
	why   string   // others are not possible
	usage string
}

// fixedOptions are dockerd's settings that Berth has no choice in.
func fixedOptions() (all []*option) {
	const swarm, always = "there is no swarm", "the firewall is always nftables', in a table of Berth's own"
	for _, f := range []*fixed{
		{key: "iptables", good: []string{"true"}, why: always, usage: "Firewall rules are made: always so, by nftables"},
		{key: "ip6tables", good: []string{"true"}, why: always, usage: "The same for IPv6: always so"},
		{key: "firewall-backend", good: []string{`"nftables"`, `""`}, why: always, usage: "Always nftables"},
		{key: "bridge-accept-fwmark", good: []string{`""`}, why: "marks of packets have no meaning to Berth's firewall", usage: "Not possible"},
		{key: "userland-proxy-path", good: []string{`""`}, why: "no program is started: shims forward what the kernel cannot", usage: "There is no such program: shims do it"},
		{key: "selinux-enabled", good: []string{"false"}, why: "labels of SELinux are not made", usage: "Not possible"},
		{key: "userns-remap", good: []string{`""`}, why: "user namespaces for all containers are not made", usage: "Not possible"},
		{key: "storage-opts", good: []string{"[]"}, why: "snapshotters of containerd have no options", usage: "There are none"},
		{key: "authorization-plugins", good: []string{"[]"}, why: "there are no plugins; --read-only-host gives a socket with fewer rights", usage: "Not possible; see --read-only-host"},
		{key: "raw-logs", good: []string{"true", "false"}, usage: "berthd's log is always without colours and with full times"},
		{key: "swarm-default-advertise-addr", good: []string{`""`}, why: swarm, usage: "There is no swarm"},
		{key: "node-generic-resources", good: []string{"[]"}, why: swarm, usage: "There is no swarm"},
		{key: "network-control-plane-mtu", good: []string{"1500"}, why: swarm, usage: "There is no swarm"},
		{key: "containerd-plugins-namespace", good: []string{`"plugins.moby"`}, why: "there are no plugins", usage: "There are no plugins"},
	} {
		flag := strings.TrimSuffix(f.key, "s")
		if f.key == "iptables" || f.key == "ip6tables" || f.key == "raw-logs" {
			flag = f.key
		}
		all = append(all, &option{flag: flag, key: f.key, dst: f, usage: f.usage})
	}
	return all
}

// isBool tells a flag that needs no value from one that does.
func (f *fixed) isBool() bool { return f.good[0] == "true" || f.good[0] == "false" }

// bind makes the flag.
func (f *fixed) bind(fs *pflag.FlagSet, name, usage string) {
	flag := fs.VarPF(f, name, "", usage)
	if f.isBool() {
		flag.NoOptDefVal = "true"
	}
}

// Set takes a flag's value: one element, of a list.
func (f *fixed) Set(v string) error {
	switch {
	case f.isBool():
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", v)
		}
		return f.check(strconv.FormatBool(b))
	case f.good[0] == "[]":
		return f.check(fmt.Sprintf("[%q]", v))
	case json.Valid([]byte(f.good[0])) && f.good[0][0] != '"':
		return f.check(v)
	}
	return f.check(strconv.Quote(v))
}

// UnmarshalJSON takes a value of the file.
func (f *fixed) UnmarshalJSON(b []byte) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, b); err != nil {
		return err
	}
	return f.check(compact.String())
}

func (f *fixed) check(value string) error {
	if slices.Contains(f.good, value) {
		return nil
	}
	why := f.why
	if why == "" {
		why = "there is " + strings.Join(f.good, " and ")
	}
	return fmt.Errorf("%s is not possible: %s", value, why)
}

func (f *fixed) Type() string {
	if f.isBool() {
		return "bool"
	}
	return "string"
}

// String is the value as a flag has it.
func (f *fixed) String() string {
	if f == nil || len(f.good) == 0 { // pflag makes an empty one to compare with
		return ""
	}
	return strings.Trim(f.good[0], `[]"`)
}
