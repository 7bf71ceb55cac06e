package request

import (
	"fmt"
	"regexp"
	"strings"
	"text/template"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
)

// Log completes log, the container's, with what drivers call it: its names, the
// attributes that the options labels, labels-regex, env and env-regex have written
// with each line, and the tag (Docker reference, "Customize log driver output").
// InvalidArgument: an expression or the template is malformed.
func Log(r *container.Record, log streams.Log) (streams.Log, error) {
	log.ID, log.Name, log.Image = r.ID, r.Name, r.Config.Image
	var err error
	if log.Attrs, err = logAttrs(r); err != nil {
		return log, err
	}
	text := r.HostConfig.LogConfig.Config["tag"]
	if text == "" {
		text = "{{.ID}}"
	}
	if log.Tag, err = logTag(text, r); err != nil {
		return log, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid log-opt tag: %v", err))
	}
	return log, nil
}

func logAttrs(r *container.Record) (map[string]string, error) {
	o := r.HostConfig.LogConfig.Config
	env := map[string]string{}
	for _, e := range r.Config.Env {
		if name, value, ok := strings.Cut(e, "="); ok {
			env[name] = value
		}
	}
	attrs := map[string]string{}
	for _, s := range []struct {
		option string
		from   map[string]string
	}{{"labels", r.Config.Labels}, {"env", env}} {
		for name := range strings.SplitSeq(o[s.option], ",") {
			if value, ok := s.from[name]; ok {
				attrs[name] = value
			}
		}
		pattern := o[s.option+"-regex"]
		if pattern == "" {
			continue
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid log-opt %s-regex: %v", s.option, err))
		}
		for name, value := range s.from {
			if re.MatchString(name) {
				attrs[name] = value
			}
		}
	}
	return attrs, nil
}

// tagData is what a tag's template can name (Docker reference, "Customize log
// driver output").
type tagData struct {
	ID, FullID, Name, ImageID, ImageFullID, ImageName, DaemonName string
}

func logTag(text string, r *container.Record) (string, error) {
	t, err := template.New("tag").Parse(text)
	if err != nil {
		return "", err
	}
	image := strings.TrimPrefix(r.Image, "sha256:")
	var b strings.Builder
	err = t.Execute(&b, tagData{
		ID: r.ID[:12], FullID: r.ID, Name: r.Name,
		ImageID: image[:min(12, len(image))], ImageFullID: r.Image, ImageName: r.Config.Image, DaemonName: "berth",
	})
	return b.String(), err
}
