package build

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"

	"github.com/moby/buildkit/exporter"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/session"

	rootpath "github.com/containerd/continuity/fs"
)

// attesting looks at the files of attestations, which an image's program wrote (as a
// scanner for an SBOM does), before they are read.
type attesting struct{ exporter.Exporter }

// Resolve is the exporter's.
func (a attesting) Resolve(ctx context.Context, id int, attrs map[string]string) (exporter.ExporterInstance, error) {
	i, err := a.Exporter.Resolve(ctx, id, attrs)
	if err != nil {
		return nil, err
	}
	return attestingInstance{i}, nil
}

type attestingInstance struct{ exporter.ExporterInstance }

// Export is the exporter's.
func (a attestingInstance) Export(ctx context.Context, src *exporter.Source, info exporter.ExportBuildInfo) (map[string]string, exporter.FinalizeFunc, exporter.DescriptorReference, error) {
	for _, of := range src.Attestations {
		for _, att := range of {
			if att.Ref == nil || att.ContentFunc != nil {
				continue
			}
			check := func(root string) error { return checkFile(root, att.Path) }
			if att.Kind == gatewayapi.AttestationKind_Bundle {
				check = func(root string) error { return checkFiles(root, att.Path) }
			}
			if err := lookAt(ctx, att.Ref, session.NewGroup(info.SessionID), check); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	return a.ExporterInstance.Export(ctx, src, info)
}

// checkFiles looks at all of a folder; a link is followed as if the folder were the root,
// which is how BuildKit has it.
func checkFiles(root, folder string) error {
	dir, err := rootpath.RootPath(root, folder)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		err = errors.Join(err, checkFile(dir, path.Join("/", e.Name())))
	}
	return err
}
