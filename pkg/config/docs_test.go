package config

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/configuration.md")

// TestDocs: docs/configuration.md has every setting.
func TestDocs(t *testing.T) {
	const file = "../../docs/configuration.md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := Settings()
	slices.SortFunc(all, func(a, b Setting) int { return cmp.Compare(cmp.Or(a.Key, "~"+a.Flag), cmp.Or(b.Key, "~"+b.Flag)) })
	want := string(b)
	for name, fixed := range map[string]bool{"settings": false, "fixed": true} {
		if want, err = between(want, name, table(all, fixed)); err != nil {
			t.Fatal(err)
		}
	}
	if want == string(b) {
		return
	}
	if !*update {
		t.Fatalf("%s is not true any more: go test ./pkg/config -update", file)
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// table lists settings as Markdown has it.
func table(all []Setting, fixed bool) string {
	var out strings.Builder
	out.WriteString("| key | flag | default | live | what it is |\n|---|---|---|---|---|\n")
	if fixed {
		out.Reset()
		out.WriteString("| key | flag | what is so |\n|---|---|---|\n")
	}
	quoted := func(s string) string {
		if s == "" || s == "[]" {
			return ""
		}
		return "`" + s + "`"
	}
	for _, s := range all {
		if s.Fixed != fixed {
			continue
		}
		name := ""
		if s.Flag != "" {
			name = "--" + s.Flag
		}
		if s.Short != "" {
			name += ", -" + s.Short
		}
		usage := strings.ReplaceAll(s.Usage, "|", `\|`)
		if fixed {
			fmt.Fprintf(&out, "| %s | %s | %s |\n", quoted(s.Key), quoted(name), usage)
			continue
		}
		live := ""
		if s.Live {
			live = "yes"
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s |\n", quoted(s.Key), quoted(name), quoted(s.Default), live, usage)
	}
	return out.String()
}

// between replaces what is between the marks of a name.
func between(text, name, content string) (string, error) {
	head, rest, ok := strings.Cut(text, "<!-- "+name+":")
	mark, rest, ok2 := strings.Cut(rest, "-->\n")
	_, tail, ok3 := strings.Cut(rest, "<!-- end -->")
	if !ok || !ok2 || !ok3 {
		return "", fmt.Errorf("there are no marks of %s", name)
	}
	return head + "<!-- " + name + ":" + mark + "-->\n" + content + "<!-- end -->" + tail, nil
}
