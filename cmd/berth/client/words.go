package client

import "strings"

// berthError changes the two places where docker/cli puts its program's name into
// an error, and nothing else: the rest may be a container's or an image's name.
func berthError(s string) string {
	if rest, ok := strings.CutPrefix(s, "docker: "); ok {
		s = "berth: " + rest
	}
	return strings.Replace(s, "\n\nRun 'docker ", "\n\nRun 'berth ", 1)
}
