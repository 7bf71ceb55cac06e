// Command notices writes the licences of all modules that are compiled into
// programs, which those licences ask whoever passes the programs on to do. What a
// program is made of is read from the program itself.
package main

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

const ours = "github.com/berth-engine/berth"

func main() {
	out := flag.String("o", "", "file to write")
	flag.Parse()
	if *out == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "notices -o FILE PROGRAM...")
		os.Exit(2)
	}
	text, err := notices(flag.Args())
	if err == nil {
		err = os.WriteFile(*out, text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

func notices(programs []string) ([]byte, error) {
	versions, err := modules(programs)
	if err != nil {
		return nil, err
	}
	folders, err := locate(slices.Sorted(maps.Keys(versions)))
	if err != nil {
		return nil, err
	}
	folders["Go's standard library"], versions["Go's standard library"] = goroot(), runtime.Version()
	users := map[string][]string{} // text → modules under it
	for _, path := range slices.Sorted(maps.Keys(folders)) {
		texts, err := licences(folders[path])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, t := range texts {
			users[t] = append(users[t], path+" "+versions[path])
		}
	}
	var b bytes.Buffer
	b.WriteString("Berth's programs hold the following software of others.\n\n" +
		"runc is linked with the GNU C Library, which is under the GNU Lesser General Public\n" +
		"License 2.1 or later; what it is linked from is in the source of this release.\n")
	for _, t := range slices.SortedFunc(maps.Keys(users), func(a, b string) int { return cmp.Compare(users[a][0]+a, users[b][0]+b) }) {
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(users[t], "\n"), t)
	}
	return b.Bytes(), nil
}

// modules are those of others in the programs, with their versions.
func modules(programs []string) (map[string]string, error) {
	all := map[string]string{}
	for _, p := range programs {
		info, err := buildinfo.ReadFile(p)
		if err != nil {
			return nil, err
		}
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path != ours && m.Replace == nil { // what replaces is ours
				all[m.Path] = m.Version
			}
		}
	}
	return all, nil
}

// locate finds the modules' sources, at the versions of our go.mod.
func locate(paths []string) (map[string]string, error) {
	out, err := exec.Command("go", append([]string{"list", "-m", "-f", "{{.Path}} {{.Dir}}"}, paths...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	folders := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, dir, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			return nil, fmt.Errorf("%s is not in the module cache", path)
		}
		folders[path] = dir
	}
	return folders, nil
}

func goroot() string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "" // without a licence, which is reported
	}
	return strings.TrimSpace(string(out))
}

var licenceName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([-._].*)?$`)

func licences(dir string) (texts []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() || !licenceName.MatchString(e.Name()) {
			continue
		}
		b, err := fs.ReadFile(os.DirFS(dir), filepath.ToSlash(e.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, strings.TrimSpace(strings.ReplaceAll(string(b), "\r\n", "\n")))
	}
	if len(texts) == 0 {
		return nil, errors.New("no licence in " + dir)
	}
	return texts, nil
}
