package config

import (
	"io"

	"github.com/spf13/pflag"
)

// Setting is one thing that can be said to berthd, for manuals and for what checks them.
type Setting struct {
	Flag, Short string // on the command line; "" when it is a key only
	Key         string // in daemon.json, "object.member" in an object; "" when it is a flag only
	Usage       string
	Default     string // as the flag prints it; "" where there is none or it depends on others
}

// Settings lists all that Parse understands.
func Settings() []Setting {
	s := newSettings()
	flags := s.flagSet(io.Discard)
	all := make([]Setting, 0, len(s.options))
	for _, o := range s.options {
		d := Setting{Flag: o.flag, Short: o.short, Key: o.key, Usage: o.usage}
		if f := flags.Lookup(o.flag); f != nil {
			d.Default = f.DefValue
		}
		all = append(all, d)
	}
	return all
}

// Flags are berthd's. They write to nothing that is read: Parse has its own.
func Flags() *pflag.FlagSet { return newSettings().flagSet(io.Discard) }
