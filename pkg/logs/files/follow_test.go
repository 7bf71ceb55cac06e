package files

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestSuccessorsOnly: who follows opens what is new, and not the whole log at each
// rotation; a number that a kill left out ends nothing.
func TestSuccessorsOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	write := func(name string) {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{path, path + ".1", path + ".4", path + ".5"} {
		write(name)
	}
	if err := os.Symlink(path+".6", path+".6"); err != nil { // cannot be opened
		t.Fatal(err)
	}
	f, err := openFile(path+".5", false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	set, err := successors(path, nil, f)
	if err != nil {
		t.Fatal(err)
	}
	defer set.close()
	var got []string
	for _, g := range set {
		got = append(got, strings.TrimPrefix(g.Name(), path))
	}
	if want := []string{".4", ".1", ""}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
