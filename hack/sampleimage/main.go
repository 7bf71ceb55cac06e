// Command sampleimage writes an image made of the machine's static BusyBox, for
// demonstrations and tests:
//
//	go run ./hack/sampleimage -o busybox.tar -t busybox:latest
//	docker load -i busybox.tar
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sampleimage:", err)
		os.Exit(1)
	}
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

func run(args []string) (err error) {
	var (
		o                                 archive.Options
		names, labels, expose, env, words list
		entry                             list
	)
	f := flag.NewFlagSet("sampleimage", flag.ContinueOnError)
	out := f.String("o", "-", "`file` to write, - is standard output")
	f.Var(&names, "t", "`name`:tag of the image (repeatable)")
	f.StringVar(&o.Busybox, "busybox", "/bin/busybox", "static BusyBox to put in")
	f.Var(&words, "cmd", "one `word` of the command (repeatable; default sh)")
	f.Var(&entry, "entry", "one `word` of the entry point (repeatable)")
	f.Var(&labels, "label", "`key=value` (repeatable)")
	f.Var(&expose, "expose", "`port/proto` (repeatable)")
	f.Var(&env, "env", "`NAME=value` (repeatable)")
	f.StringVar(&o.User, "user", "", "user that containers run as")
	f.StringVar(&o.WorkingDir, "workdir", "", "folder that containers start in")
	f.IntVar(&o.Layers, "layers", 0, "extra layers")
	f.IntVar(&o.LayerSize, "layer-size", 0, "bytes in each extra layer")
	if err := f.Parse(args); err != nil {
		return err
	}
	o.Names, o.Expose, o.Env, o.Cmd, o.Entrypoint = names, expose, env, words, entry
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		if o.Labels == nil {
			o.Labels = map[string]string{}
		}
		o.Labels[k] = v
	}
	w := os.Stdout
	if *out != "-" {
		if w, err = os.Create(*out); err != nil {
			return err
		}
		defer func() {
			if cerr := w.Close(); err == nil {
				err = cerr
			}
		}()
	}
	id, err := archive.Write(w, o)
	if err == nil {
		fmt.Fprintln(os.Stderr, id)
	}
	return err
}
