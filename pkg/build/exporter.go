package build

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/exporter"
	imageexporter "github.com/moby/buildkit/exporter/containerimage"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/leaseutil"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// danglingPrefix is what images without a name are kept under, Docker's name.
const danglingPrefix = "moby-dangling"

// toStore is Docker's exporter ("moby"): BuildKit's image exporter, with the
// result unpacked by the worker and named by the image store.
type toStore struct {
	exporter.Exporter
	w *Worker
}

func newExporter(w *Worker, sm *session.Manager) (exporter.Exporter, error) {
	e, err := imageexporter.New(imageexporter.Opt{
		SessionManager: sm, ImageWriter: w.writer, Images: unnamed{},
		RegistryHosts: w.RegistryHosts, LeaseManager: w.LeaseManager(),
	})
	return toStore{compressing{e, w}, w}, err
}

func (e toStore) Resolve(ctx context.Context, id int, attrs map[string]string) (exporter.ExporterInstance, error) {
	names, err := normalized(attrs[string(exptypes.OptKeyName)])
	if err != nil {
		return nil, err
	}
	attrs = maps.Clone(attrs)
	if attrs == nil {
		attrs = map[string]string{}
	}
	attrs[string(exptypes.OptKeyName)] = strings.Join(names, ",")
	stored, unpack := isOn(attrs, exptypes.OptKeyStore, true), isOn(attrs, exptypes.OptKeyUnpack, true)
	if stored {
		attrs[string(exptypes.OptKeyUnpack)] = "false" // the worker does
		if len(names) == 0 {
			attrs[string(exptypes.OptKeyDanglingPrefix)] = danglingPrefix
		}
	}
	i, err := e.Exporter.Resolve(ctx, id, attrs)
	if err != nil || !stored {
		return i, err
	}
	return &storing{ExporterInstance: i, w: e.w, names: names, unpack: unpack}, nil
}

// isOn reads a flag as BuildKit does: present without a value is true.
func isOn(attrs map[string]string, key exptypes.ImageExporterOptKey, absent bool) bool {
	v, ok := attrs[string(key)]
	if !ok {
		return absent
	}
	return v == "" || v == "true" || v == "1"
}

// normalized are a list's names in full: docker.io/library/web:latest.
func normalized(list string) ([]string, error) {
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid tag %q: %v", name, err))
		}
		if _, ok := ref.(reference.Digested); ok {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid tag %q: a digest cannot be chosen", name))
		}
		names = append(names, reference.TagNameOnly(ref).String())
	}
	return names, nil
}

// storing is one export.
type storing struct {
	exporter.ExporterInstance
	w      *Worker
	names  []string
	unpack bool
}

// Export names the image once all of it is there: whoever sees the name can run it.
func (s *storing) Export(ctx context.Context, src *exporter.Source, info exporter.ExportBuildInfo) (map[string]string, exporter.FinalizeFunc, exporter.DescriptorReference, error) {
	answer, finalize, held, err := s.ExporterInstance.Export(ctx, src, info)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := s.keep(ctx, src, answer); err != nil {
		if held != nil {
			_ = held.Release()
		}
		return nil, nil, nil, err
	}
	return answer, finalize, held, nil
}

// keep unpacks the image of an exporter's answer and gives it its names, which hold it.
func (s *storing) keep(ctx context.Context, src *exporter.Source, answer map[string]string) error {
	target, err := descriptor(answer)
	if err != nil {
		return err
	}
	ctx, done, err := leaseutil.WithLease(ctx, s.w.LeaseManager(), leaseutil.MakeTemporary)
	if err != nil {
		return err
	}
	defer func() { _ = done(context.WithoutCancel(ctx)) }() // it expires by itself
	if s.unpack {
		if err := s.w.unpacked(ctx, src, target); err != nil {
			return err
		}
	}
	return s.w.images.Built(ctx, s.names, target)
}

func descriptor(answer map[string]string) (desc ocispec.Descriptor, err error) {
	raw, err := base64.StdEncoding.DecodeString(answer[exptypes.ExporterImageDescriptorKey])
	if err == nil {
		err = json.Unmarshal(raw, &desc)
	}
	if err != nil {
		return desc, fmt.Errorf("the exporter's descriptor: %w", err)
	}
	return desc, nil
}

// unnamed takes the names that BuildKit's exporter would give before the image
// is complete, and gives none.
type unnamed struct{ images.Store }

func (unnamed) Update(_ context.Context, image images.Image, _ ...string) (images.Image, error) {
	return image, nil
}
