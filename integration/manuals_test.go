package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestManuals has each manual page of the package rendered, without a warning.
func TestManuals(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(unpack(t, filepath.Join(harness.Bin(), "..", "dist"), "amd64"), "deb/usr/share/man")
	pages, err := filepath.Glob(dir + "/man[18]/*.gz")
	if err != nil || len(pages) < 100 {
		t.Fatalf("%d pages: %v", len(pages), err)
	}
	for _, page := range pages {
		cmd := exec.Command("man", "--warnings=w", "--local-file", page)
		cmd.Env = append(os.Environ(), "MAN_KEEP_STDERR=1", "LC_ALL=C.UTF-8")
		var warnings strings.Builder
		cmd.Stderr = &warnings
		if out, err := cmd.Output(); err != nil || warnings.Len() > 0 || !strings.Contains(string(out), "NAME") {
			t.Errorf("%s: %v: %s%.200s", filepath.Base(page), err, warnings.String(), out)
		}
	}
}

// TestCompletions has each shell load the package's completions from where they are
// installed, and complete a command and a flag by asking the client.
func TestCompletions(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(unpack(t, filepath.Join(harness.Bin(), "..", "dist"), "amd64"), "deb/usr")
	for shell, script := range map[string][]string{
		"bash": {"--noprofile", "--norc", "-c", `
			source /usr/share/bash-completion/bash_completion
			source "$1/share/bash-completion/completions/berth"
			ask() { COMP_WORDS=(berth "$@"); COMP_CWORD=$#; COMP_LINE="berth $*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=(); __start_berth; printf '%s\n' "${COMPREPLY[@]}"; }
			ask ru; ask run --detach-k`, "bash"},
		"zsh": {"-f", "-c", `
			fpath=("$1/share/zsh/vendor-completions" $fpath)
			autoload -Uz compinit; compinit -u -D
			_describe() { local a; for a; do case $a in completions) print -l -- "${(@)completions}";; esac; done }
			ask() { words=(berth "$@"); CURRENT=$#words; $_comps[berth]; }
			ask ru; ask run --detach-k`, "zsh"},
		"fish": {"--no-config", "-c", `
			source "$argv[1]/share/fish/vendor_completions.d/berth.fish"
			complete -C "berth ru"; complete -C "berth run --detach-k"`},
	} {
		t.Run(shell, func(t *testing.T) {
			cmd := exec.Command(shell, append(script, dir)...)
			cmd.Env = append(os.Environ(), "PATH="+dir+"/bin:"+os.Getenv("PATH"), "HOME="+t.TempDir())
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "run") || !strings.Contains(string(out), "--detach-keys") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
