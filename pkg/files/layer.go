package files

import (
	"archive/tar"
	"context"
	"io"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Whiteouts in layers: the OCI image specification's layer.md.
const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = whiteoutPrefix + whiteoutPrefix + ".opq"
)

// Layer writes the changes as a layer of an image: what is new and changed, a
// whiteout for what is gone, and a marker in folders that took the place of the
// image's. Names that would mean whiteouts cannot be in a layer and are left out.
func (c *Comparison) Layer(ctx context.Context, w io.Writer) error {
	l := &layer{newPacker(ctx, w, PackOptions{})}
	if err := c.walk(&comparer{ctx: ctx, changed: l.changed, opaque: l.opaque}); err != nil {
		return err
	}
	return l.close()
}

type layer struct{ *packer }

func (l *layer) changed(k Kind, at spot) error {
	as := strings.TrimPrefix(at.path, "/")
	switch {
	case strings.HasPrefix(at.name, whiteoutPrefix):
		return nil
	case k == Deleted:
		return l.mark(path.Join(path.Dir(as), whiteoutPrefix+at.name))
	case at.st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return l.header(&at.st, as, "", place{path: fdPath(at.dir, at.name)})
	}
	return l.entry(at.dir, at.name, as, 0)
}

func (l *layer) opaque(at spot) error {
	return l.mark(path.Join(strings.TrimPrefix(at.path, "/"), opaqueMarker))
}

// mark writes an empty file whose name says all.
func (l *layer) mark(as string) error {
	return l.tar.WriteHeader(&tar.Header{Name: as, Typeflag: tar.TypeReg, Format: tar.FormatPAX})
}
