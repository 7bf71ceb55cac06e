package config

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/pflag"
)

// Setting is one thing that can be said to berthd, for manuals and for what checks them.
type Setting struct {
	Flag, Short string // on the command line; "" when it is a key only
	Key         string // in daemon.json, "object.member" in an object; "" when it is a flag only
	Usage       string
	Default     string // as the flag prints it; "" where there is none or it depends on others
	Live        bool   // a reload applies it
	Fixed       bool   // dockerd's; here it has one value
}

// Settings lists all that Parse understands.
func Settings() []Setting {
	s := newSettings()
	flags := s.flagSet(io.Discard)
	all := make([]Setting, 0, len(s.options))
	for _, o := range s.options {
		d := Setting{Flag: o.flag, Short: o.short, Key: o.key, Usage: o.usage, Live: o.live}
		_, d.Fixed = o.dst.(*fixed)
		if f := flags.Lookup(o.flag); f != nil {
			d.Default = f.DefValue
		}
		all = append(all, d)
	}
	return all
}

// Flags are berthd's. They write to nothing that is read: Parse has its own.
func Flags() *pflag.FlagSet { return newSettings().flagSet(io.Discard) }

// said gives what each option has, as text that may be compared.
func (s *settings) said() (map[string]string, error) {
	all := make(map[string]string, len(s.options))
	for _, o := range s.options {
		if _, ok := o.dst.(*fixed); ok || o.key == "" {
			continue
		}
		value := o.dst
		if value == &s.features { // but for cdi, they can only say what is so
			on, said := s.features["cdi"]
			value = on || !said
		}
		b, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.key, err)
		}
		all[o.key] = string(b)
	}
	return all, nil
}

// Waiting names the settings that differ in next and that no reload applies.
func (c *Config) Waiting(next *Config) (keys []string) {
	for _, o := range newSettings().options {
		if !o.live && c.said[o.key] != next.said[o.key] {
			keys = append(keys, o.key)
		}
	}
	return keys
}
