package harness

import (
	"os"
	"path/filepath"
	"testing"
)

// DebianBase gives the daemon Debian's smallest system as an image of that name.
func (d *Daemon) DebianBase(name string) {
	d.t.Helper()
	d.clientFor(5*Patience, BerthCLI(), nil, "import", "-c", `CMD ["bash"]`, DebianArchive(d.t), name).OK(d.t)
}

// DebianArchive is Debian's smallest system, with what the tests install in it.
func DebianArchive(t *testing.T) string {
	t.Helper()
	archive := filepath.Join(Bin(), "debian.tar")
	if _, err := os.Stat(archive); err != nil {
		t.Fatalf("%v (make bin/debian.tar)", err)
	}
	return archive
}
