package build

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli/streams"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session/filesync"
	"github.com/tonistiigi/go-csvvalue"
)

// export is one output as it was asked for.
type export struct {
	kind, dest string
	attrs      map[string]string
}

// exports are where the result goes; with no option into the image store.
func (o *options) exports() ([]export, error) {
	all := make([]export, 0, len(o.outputs)+1)
	for _, s := range o.outputs {
		e, err := parseExport(s)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	if o.push {
		all = append(all, export{kind: "registry", attrs: map[string]string{}})
	}
	if o.load || len(all) == 0 {
		all = append(all, export{kind: "image", attrs: map[string]string{}})
	}
	for _, t := range o.tags {
		if _, err := reference.ParseNormalizedNamed(t); err != nil {
			return nil, fmt.Errorf("invalid tag %q: %w", t, err)
		}
	}
	for i := range all {
		if err := all[i].complete(o); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// parseExport parses "type=tar,dest=x", and the short forms PATH (a folder) and
// "-" (an archive on the standard output).
func parseExport(s string) (export, error) {
	e := export{attrs: map[string]string{}}
	fields, err := csvvalue.Fields(s, nil)
	if err != nil {
		return e, err
	}
	if len(fields) == 1 && fields[0] == s && !strings.HasPrefix(s, "type=") {
		if s == "-" {
			return export{kind: "tar", dest: "-", attrs: e.attrs}, nil
		}
		return export{kind: "local", dest: s, attrs: e.attrs}, nil
	}
	for _, f := range fields {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			return e, fmt.Errorf("invalid value %s", f)
		}
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "type":
			e.kind = value
		case "dest":
			e.dest = value
		default:
			e.attrs[key] = value
		}
	}
	if e.kind == "" {
		return e, errors.New("type is required for output")
	}
	return e, nil
}

// complete settles what the options together mean.
func (e *export) complete(o *options) error {
	switch {
	case e.kind == "registry":
		e.kind, e.attrs["push"] = "image", "true"
	case e.kind == "docker" && e.dest == "":
		e.kind = "image" // into the daemon's own store
	}
	switch e.kind {
	case "image", "oci", "docker":
		if len(o.tags) > 0 {
			e.attrs["name"] = strings.Join(o.tags, ",")
		}
		for _, a := range o.annotations {
			if err := e.annotate(a); err != nil {
				return err
			}
		}
	}
	if push, _ := strconv.ParseBool(e.attrs["push"]); push && e.attrs["name"] == "" {
		return errors.New("tag is needed when pushing to registry")
	}
	if e.kind == "image" {
		e.kind = "moby" // Docker's name for its own store
	}
	return nil
}

// annotate adds "[LEVEL[,LEVEL]:]KEY=VALUE"; the level is the manifest's unless
// said otherwise (BuildKit, docs/annotations.md).
func (e *export) annotate(s string) error {
	levels := "manifest"
	head, value, ok := strings.Cut(s, "=")
	if !ok {
		return fmt.Errorf("invalid annotation %q, expected key=value", s)
	}
	key := head
	if l, k, ok := strings.Cut(head, ":"); ok {
		levels, key = l, k
	}
	for level := range strings.SplitSeq(levels, ",") {
		name, platform, _ := strings.Cut(strings.TrimSuffix(level, "]"), "[")
		switch name {
		case "manifest", "index", "manifest-descriptor", "index-descriptor":
		default:
			return fmt.Errorf("invalid annotation %q: unknown level %q", s, name)
		}
		full := "annotation-" + name
		if platform != "" {
			full += "[" + platform + "]"
		}
		e.attrs[full+"."+key] = value
	}
	return nil
}

// entries opens what the exports write to. Files are made when the first byte
// comes, so that a build that fails leaves none.
func entries(all []export, stdout *streams.Out) ([]bkclient.ExportEntry, error) {
	var out []bkclient.ExportEntry
	stdoutTaken := false
	for _, e := range all {
		entry := bkclient.ExportEntry{Type: e.kind, Attrs: maps.Clone(e.attrs)}
		folder := e.kind == "local" || (e.kind == "oci" || e.kind == "docker") && e.attrs["tar"] == "false"
		switch {
		case e.kind == "cacheonly":
			continue
		case e.kind == "moby":
			if e.dest != "" {
				return nil, fmt.Errorf("destination %s is not supported by the image exporter", e.dest)
			}
		case folder:
			if e.dest == "" {
				return nil, fmt.Errorf("dest is required for %s exporter", e.kind)
			}
			if i, err := os.Stat(e.dest); err == nil && !i.IsDir() {
				return nil, fmt.Errorf("destination directory %s is a file", e.dest)
			}
			entry.OutputDir = e.dest
		case e.dest == "" || e.dest == "-":
			if stdoutTaken {
				return nil, errors.New("multiple outputs configured to write to stdout")
			}
			if stdout.IsTerminal() {
				return nil, fmt.Errorf("dest file is required for %s exporter. refusing to write to console", e.kind)
			}
			stdoutTaken = true
			entry.Output = to(nopCloser{stdout})
		default:
			if i, err := os.Stat(e.dest); err == nil && i.IsDir() {
				return nil, fmt.Errorf("destination file %s is a directory", e.dest)
			}
			entry.Output = to(&lazyFile{path: e.dest})
		}
		out = append(out, entry)
	}
	return out, nil
}

func to(w io.WriteCloser) filesync.FileOutputFunc {
	return func(map[string]string) (io.WriteCloser, error) { return w, nil }
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// lazyFile is made by the first write.
type lazyFile struct {
	path string
	file *os.File
}

func (l *lazyFile) Write(p []byte) (int, error) {
	if l.file == nil {
		if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
			return 0, err
		}
		var err error
		if l.file, err = os.Create(l.path); err != nil {
			return 0, err
		}
	}
	return l.file.Write(p)
}

func (l *lazyFile) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// cacheEntries parses --cache-from and --cache-to: "type=local,…" or an image's name.
func cacheEntries(in []string) ([]bkclient.CacheOptionsEntry, error) {
	var out []bkclient.CacheOptionsEntry
	for _, s := range in {
		if s == "" {
			continue
		}
		fields, err := csvvalue.Fields(s, nil)
		if err != nil {
			return nil, err
		}
		if !strings.Contains(s, "=") {
			for _, ref := range fields {
				out = append(out, bkclient.CacheOptionsEntry{Type: "registry", Attrs: map[string]string{"ref": ref}})
			}
			continue
		}
		e := bkclient.CacheOptionsEntry{Attrs: map[string]string{}}
		for _, f := range fields {
			key, value, ok := strings.Cut(f, "=")
			switch {
			case !ok:
				return nil, fmt.Errorf("invalid value %s", f)
			case strings.EqualFold(key, "type"):
				e.Type = value
			default:
				e.Attrs[strings.ToLower(key)] = value
			}
		}
		if e.Type == "" {
			return nil, fmt.Errorf("type is required in %q", s)
		}
		out = append(out, e)
	}
	return out, nil
}
