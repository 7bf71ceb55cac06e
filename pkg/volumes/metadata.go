package volumes

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/berth-engine/berth/pkg/volumes/points"
	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"golang.org/x/sys/unix"
)

// A volume's folder holds these two; Docker's data folder has the same name.
const (
	dataDir  = "_data"
	metaFile = "volume.json"
)

// What is being made and what is being removed bear names that no volume has.
const (
	newPrefix  = ".new-"
	gonePrefix = ".gone-"
)

// maxMetadata bounds a metadata file, which may have come from elsewhere.
const maxMetadata = 1 << 20

// metadata is the content of volume.json.
type metadata struct {
	Name      string
	Driver    string
	CreatedAt time.Time
	Labels    map[string]string `json:",omitempty"`
	Options   map[string]string `json:",omitempty"`
}

const nameCharacters = "[a-zA-Z0-9][a-zA-Z0-9_.-]"

var nameFormat = regexp.MustCompile("^" + nameCharacters + "+$")

// check refuses names that are no file names of ours and options that the
// local driver does not have.
func (m *metadata) check() error {
	if m.Driver == "" {
		m.Driver = points.DefaultDriver
	}
	fail := func(format string, args ...any) error {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("create %s: ", m.Name) + fmt.Sprintf(format, args...))
	}
	switch {
	case m.Driver != points.DefaultDriver:
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("create %s: error looking up volume plugin %s: plugin %q not found", m.Name, m.Driver, m.Driver))
	case len(m.Name) == 1:
		return fail("volume name is too short, names should be at least two alphanumeric characters")
	case !nameFormat.MatchString(m.Name):
		return fail("%q includes invalid characters for a local volume name, only %q are allowed. If you intended to pass a host directory, use absolute path", m.Name, nameCharacters)
	case len(m.Name) > unix.NAME_MAX:
		return fail("volume name is too long, names should be at most %d characters", unix.NAME_MAX)
	}
	if err := checkOptions(m.Options); err != nil {
		return fail("%v", err)
	}
	return nil
}

// checkOptions holds the local driver's options to Docker's rules.
func checkOptions(opts map[string]string) error {
	for k := range opts {
		switch k {
		case "type", "device", "o", "size":
		default:
			return fmt.Errorf("invalid option: %q", k)
		}
	}
	for _, need := range []struct {
		option string
		needs  []string
	}{{"device", []string{"type"}}, {"type", []string{"device"}}, {"o", []string{"device", "type"}}} {
		if _, given := opts[need.option]; !given {
			continue
		}
		for _, n := range need.needs {
			if _, ok := opts[n]; !ok {
				return fmt.Errorf("missing required option: %q", n)
			}
		}
	}
	if opts["type"] == "cifs" {
		u, err := url.Parse(opts["device"])
		if err != nil {
			return fmt.Errorf("error parsing mount device url: %w", err)
		}
		if u.Port() != "" {
			return errors.New("port not allowed in CIFS device URL, include 'port' in 'o='")
		}
	}
	if v, ok := opts["size"]; ok {
		size, err := units.RAMInBytes(v)
		if err != nil {
			return err
		}
		if size > 0 {
			return errors.New("quota size requested but no quota support")
		}
	}
	return nil
}

// readMetadata reads a volume's. A folder with data but without metadata is a
// volume without labels and options: so Docker's are, when someone moves them.
func readMetadata(dir, name string) (metadata, error) {
	var m metadata
	f, err := os.Open(filepath.Join(dir, metaFile))
	if errors.Is(err, fs.ErrNotExist) {
		info, err := os.Lstat(filepath.Join(dir, dataDir))
		if err != nil {
			return m, err
		}
		if !info.IsDir() {
			return m, fmt.Errorf("%s is not a folder", filepath.Join(dir, dataDir))
		}
		return metadata{Name: name, Driver: points.DefaultDriver, CreatedAt: info.ModTime().UTC()}, nil
	}
	if err != nil {
		return m, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMetadata+1))
	if err != nil {
		return m, err
	}
	if len(b) > maxMetadata {
		return m, fmt.Errorf("%s is larger than %d bytes", f.Name(), maxMetadata)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%s: %w", f.Name(), err)
	}
	m.Name = name
	return m, m.check()
}

func withAnonymous(labels map[string]string) map[string]string {
	out := map[string]string{AnonymousLabel: ""}
	maps.Copy(out, labels)
	return out
}

func unique() string { return rand.Text() }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
