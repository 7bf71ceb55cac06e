package conflist

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/network"
)

func TestFolder(t *testing.T) {
	f := Folder{Path: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	list, err := New("app", map[string]any{"type": "berth-none"})
	if err != nil {
		t.Fatal(err)
	}
	want := Record{Network: network.Network{Name: "app", ID: strings.Repeat("a", 64)}, ForeignBridge: true}
	if err := f.Save(list, want); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.File("app"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"another": string(b), "short": `{"berth":{"network":{"Name":"short","Id":"a"}}}`, "plain": `{"plugins":[]}`, "broken": "{", "large": strings.Repeat(" ", maxSize) + string(b),
	} {
		if err := os.WriteFile(f.File(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".tmp-1", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(f.Path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := f.All()
	if err != nil || !reflect.DeepEqual(all, map[string]Record{"app": want}) {
		t.Errorf("got %+v, %v", all, err)
	}
	if left, err := os.ReadDir(f.Path); err != nil || len(left) != 7 { // all but what a crash left
		t.Errorf("left: %v, %v", left, err)
	}
	for range 2 {
		if err := f.Remove("app"); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(f.File("app")); !os.IsNotExist(err) {
		t.Error("the file is still there")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"berth":{"network":{"Name":"x","Id":"y"},"foreignBridge":true}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parse(b)
		if err != nil {
			return
		}
		if _, err := json.Marshal(s); err != nil {
			t.Error(err)
		}
	})
}
