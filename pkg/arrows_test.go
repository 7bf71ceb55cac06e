// Package pkg_test holds what docs/architecture.md says about the shape of the
// code: which package may import which, what each package says of itself, and
// how large a type may grow. It reads the sources and builds nothing.
package pkg_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/berth-engine/berth/"

// leaves may be imported by everyone, and import only one another.
var leaves = []string{"pkg/atomicfile", "pkg/cgroups", "pkg/decompress", "pkg/events", "pkg/files", "pkg/filters", "pkg/instructions", "pkg/streams", "pkg/timerslack", "pkg/trace", "pkg/version"}

// arrows lists, for each group, the groups of ours that it may import besides
// itself and the leaves. A group is a folder with everything below it, unless a
// folder below has a line of its own. Siblings (engine, images, net, volumes,
// build) meet through interfaces that cmd/berthd connects.
var arrows = map[string][]string{
	"cmd/berth":      {"pkg/config"},
	"cmd/berth-all":  {"cmd/berth"},
	"cmd/berthd":     {"pkg/config", "pkg/api", "pkg/engine", "pkg/images", "pkg/net", "pkg/volumes", "pkg/build", "pkg/system", "pkg/metrics", "pkg/runtime", "pkg/logs", "pkg/store", "pkg/engine/container", "pkg/shim/launch"},
	"cmd/berth-cni":  {"pkg/net", "pkg/net/nettest"},
	"cmd/berth-init": {},

	"cmd/containerd-shim-berth-v2":   {"pkg/shim/launch"},
	"cmd/containerd-shim-berth-task": {"pkg/shim", "pkg/shim/launch", "pkg/logs"},

	"pkg/api":     {"pkg/engine", "pkg/images", "pkg/net", "pkg/volumes", "pkg/build", "pkg/system", "pkg/logs", "pkg/engine/container"},
	"pkg/engine":  {"pkg/runtime", "pkg/logs", "pkg/store", "pkg/engine/container"},
	"pkg/images":  {"pkg/runtime", "pkg/store", "pkg/images/policy"},
	"pkg/net":     {"pkg/store", "pkg/net/records", "pkg/net/netns", "pkg/net/nettest"},
	"pkg/volumes": {"pkg/store"},
	"pkg/build":   {"pkg/runtime", "pkg/store"},
	"pkg/system":  {},
	"pkg/metrics": {},
	"pkg/shim":    {"pkg/shim/launch", "pkg/logs", "pkg/net/records", "pkg/net/netns", "pkg/net/nettest"},
	"pkg/runtime": {"pkg/shim/launch"},
	"pkg/logs":    {},
	"pkg/store":   {},
	"pkg/config":  {"pkg/images/policy"},

	// The files that pkg/net writes and the shim answers names from.
	"pkg/net/records": {},
	// Other network namespaces, which the shim enters as well.
	"pkg/net/netns": {},
	// What starts a shim has next to nothing in it.
	"pkg/shim/launch": {},

	// Namespaces for tests.
	"pkg/net/nettest": {"pkg/net", "pkg/net/netns"},

	// Pure: which images go when the disk fills.
	"pkg/images/policy": {},

	// Pure: the record of a container and its transitions.
	"pkg/engine/container": {},
}

// outside lists packages of others that only these groups may import. "test" is
// any test file. An empty list is a ban.
var outside = map[string][]string{
	// The engine is ours; of Docker we use the wire types and the CLI.
	"github.com/docker/docker":       {},
	"github.com/moby/moby/v2":        {},
	"github.com/containers/podman":   {},
	"github.com/containerd/nerdctl":  {},
	"github.com/moby/moby/client":    {"cmd/berth", "test"},
	"github.com/docker/cli":          {"cmd/berth", "test"},
	"github.com/spf13/cobra":         {"cmd/berth"},
	"go.etcd.io/bbolt":               {"pkg/store", "pkg/runtime"}, // the embedded containerd's database is one too
	"github.com/google/nftables":     {"pkg/net", "pkg/shim", "cmd/berth", "test"},
	"github.com/opencontainers/runc": {"cmd/containerd-shim-berth-task", "pkg/shim"},
	// Tasks are called in pkg/runtime alone; images and build take its client.
	"github.com/containerd/containerd/v2/client":         {"pkg/runtime", "pkg/images", "pkg/build", "test"},
	"github.com/containerd/containerd/v2/cmd/containerd": {"pkg/runtime"},
}

// source is one parsed file of the repository.
type source struct {
	path string // relative to the repository's root, with slashes
	test bool
	ast  *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	root := os.DirFS("..")
	var all []source
	set := token.NewFileSet()
	for _, top := range []string{"cmd", "pkg"} {
		err := fs.WalkDir(root, top, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || path.Ext(p) != ".go" {
				if d != nil && d.IsDir() && d.Name() == "testdata" {
					return fs.SkipDir
				}
				return err
			}
			f, err := parser.ParseFile(set, filepath.Join("..", p), nil, parser.ParseComments|parser.SkipObjectResolution)
			all = append(all, source{path: p, test: strings.HasSuffix(p, "_test.go"), ast: f})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// group returns the longest folder of known that holds dir, "" if there is none.
func group(dir string, known []string) string {
	for d := dir; d != "."; d = path.Dir(d) {
		if slices.Contains(known, d) {
			return d
		}
	}
	return ""
}

func TestImportsPointOneWay(t *testing.T) {
	groups := append(slices.Collect(maps.Keys(arrows)), leaves...)
	for _, f := range sources(t) {
		dir := path.Dir(f.path)
		if dir == "pkg" {
			continue // this test
		}
		from := group(dir, groups)
		if from == "" {
			t.Errorf("%s belongs to no group of pkg/arrows_test.go: say there what it may import", f.path)
			continue
		}
		for _, spec := range f.ast.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if problem := forbidden(f, from, name, groups); problem != "" {
				t.Errorf("%s: %s", f.path, problem)
			}
		}
	}
}

// forbidden says why a file of the group from must not import name.
func forbidden(f source, from, name string, groups []string) string {
	if ours, ok := strings.CutPrefix(name, module); ok {
		to := group(ours, groups)
		switch {
		case to == from, slices.Contains(leaves, to), slices.Contains(arrows[from], to):
			return ""
		case f.test && strings.HasPrefix(ours, "hack/sampleimage"):
			return "" // tests make their images on the spot
		case slices.Contains(leaves, from):
			return fmt.Sprintf("%s is a leaf and must not import %s", from, ours)
		default:
			return fmt.Sprintf("%s must not import %s", from, ours)
		}
	}
	rule := group(name, slices.Collect(maps.Keys(outside)))
	if rule == "" || slices.Contains(outside[rule], from) || f.test && slices.Contains(outside[rule], "test") {
		return ""
	}
	if len(outside[rule]) == 0 {
		return fmt.Sprintf("%s must not be used anywhere", name)
	}
	return fmt.Sprintf("%s is for %s alone", name, strings.Join(outside[rule], ", "))
}

// A test that finds nothing must be able to find something.
func TestForbidden(t *testing.T) {
	groups := append(slices.Collect(maps.Keys(arrows)), leaves...)
	for _, c := range []struct {
		from, name string
		test, want bool
	}{
		{"pkg/engine", module + "pkg/net", false, true},
		{"pkg/engine", module + "pkg/net/ipam", true, true},
		{"pkg/engine", module + "pkg/engine/spec", false, false},
		{"pkg/engine", module + "pkg/runtime", false, false},
		{"pkg/engine", module + "pkg/api", false, true},
		{"pkg/engine", module + "hack/sampleimage/archive", true, false},
		{"pkg/engine", module + "hack/sampleimage/archive", false, true},
		{"pkg/engine/container", module + "pkg/engine", false, true},
		{"pkg/engine/container", module + "pkg/store", false, true},
		{"pkg/net", module + "pkg/images", false, true},
		{"pkg/streams", module + "pkg/logs", false, true},
		{"pkg/logs", module + "pkg/streams", false, false},
		{"pkg/api", module + "pkg/runtime", false, true},
		{"pkg/api", "github.com/moby/moby/client", true, false},
		{"pkg/api", "github.com/moby/moby/client", false, true},
		{"pkg/api", "github.com/moby/moby/api/types", false, false},
		{"pkg/engine", "github.com/containerd/containerd/v2/client", false, true},
		{"cmd/berthd", "github.com/docker/docker/daemon", false, true},
		{"pkg/engine", "github.com/opencontainers/runc/libcontainer", false, true},
		{"pkg/engine", "github.com/opencontainers/runtime-spec/specs-go", false, false},
	} {
		got := forbidden(source{test: c.test}, c.from, c.name, groups)
		if (got != "") != c.want {
			t.Errorf("%s importing %s (test file: %v): %q", c.from, c.name, c.test, got)
		}
	}
}

// What a module that must not be used requires of us is in go.mod as well.
func TestModulesThatMustNotBeUsed(t *testing.T) {
	b, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		for name, users := range outside {
			if len(users) == 0 && slices.Contains(strings.Fields(line), name) {
				t.Errorf("go.mod requires %s", name)
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	comments := map[string][]string{} // folder → files with a package comment
	for _, f := range sources(t) {
		dir := path.Dir(f.path)
		if f.test || dir == "pkg" {
			continue
		}
		comments[dir] = append(comments[dir], nil...)
		if f.ast.Doc == nil {
			continue
		}
		comments[dir] = append(comments[dir], f.path)
		begin := "Package " + f.ast.Name.Name + " "
		if f.ast.Name.Name == "main" {
			begin = "Command " + path.Base(dir) + " "
		}
		if text := f.ast.Doc.Text(); !strings.HasPrefix(text, begin) {
			t.Errorf("%s: the package comment begins with %q instead of %q", f.path, strings.SplitN(text, "\n", 2)[0], begin)
		}
	}
	for dir, files := range comments {
		if len(files) != 1 {
			t.Errorf("%s has %d package comments instead of one: %q", dir, len(files), files)
		}
	}
}

// maxMethods keeps a type from becoming what the whole daemon hangs on.
const maxMethods = 25

func TestNoTypeKnowsEverything(t *testing.T) {
	methods := map[string]int{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
				methods[path.Dir(f.path)+"."+receiver(fn)]++
			}
		}
	}
	for name, n := range methods {
		if n > maxMethods {
			t.Errorf("%s has %d methods; at most %d", name, n, maxMethods)
		}
	}
}

// receiver returns the name of a method's type, without pointer and parameters.
func receiver(fn *ast.FuncDecl) string {
	expr := fn.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return "?"
		}
	}
}
