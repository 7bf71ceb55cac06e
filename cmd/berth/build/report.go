package build

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/command"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
)

// report tells of the result as the options ask.
func (o *options) report(dockerCLI command.Cli, answer map[string]string) error {
	id := answer[exptypes.ExporterImageDigestKey]
	if o.iidFile != "" {
		if err := replace(o.iidFile, []byte(id)); err != nil {
			return err
		}
	}
	if o.metaFile != "" {
		b, err := json.MarshalIndent(metadata(answer), "", "  ")
		if err != nil {
			return err
		}
		if err := replace(o.metaFile, b); err != nil {
			return err
		}
	}
	if o.quiet && id != "" {
		_, err := fmt.Fprintln(dockerCLI.Out(), id)
		return err
	}
	return nil
}

// metadata decodes what the exporters answered: values may be JSON in base64.
func metadata(answer map[string]string) map[string]any {
	out := make(map[string]any, len(answer))
	for key, value := range answer {
		out[key] = value
		raw, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			continue
		}
		var object map[string]any
		var list []map[string]any
		if json.Unmarshal(raw, &object) == nil && len(object) > 0 || json.Unmarshal(raw, &list) == nil && len(list) > 0 {
			out[key] = json.RawMessage(raw)
		}
	}
	return out
}

// replace writes a file whole or not at all.
func replace(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".berth-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
