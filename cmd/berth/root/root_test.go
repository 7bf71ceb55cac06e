package root

import (
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestWithoutProxy(t *testing.T) {
	for _, c := range []struct {
		verb, line string
		proxy      string
	}{
		{"run", "-d", "false"},
		{"run", "", "true"},
		{"run", "-d=false", "true"},
		{"run", "-d --sig-proxy", "true"}, // as the user says
		{"run", "--sig-proxy=false", "false"},
		{"exec", "-d", "true"},
	} {
		cmd := &cobra.Command{Use: c.verb}
		cmd.Flags().BoolP("detach", "d", false, "")
		proxy := cmd.Flags().Bool("sig-proxy", true, "")
		if err := cmd.ParseFlags(strings.Fields(c.line)); err != nil {
			t.Fatal(err)
		}
		if err := withoutProxy(cmd); err != nil {
			t.Fatal(err)
		}
		if got := strconv.FormatBool(*proxy); got != c.proxy {
			t.Errorf("%s %s: sig-proxy is %s, want %s", c.verb, c.line, got, c.proxy)
		}
	}
	if err := withoutProxy(&cobra.Command{Use: "run"}); err != nil {
		t.Error(err)
	}
}
