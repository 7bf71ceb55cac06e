package classic

import (
	"errors"
	"fmt"
	"strings"

	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	solvererrdefs "github.com/moby/buildkit/solver/errdefs"
	"github.com/opencontainers/go-digest"
)

// exit is the failure of a command in a step.
type exit struct {
	command string
	code    uint32
}

func (e *exit) Error() string {
	return fmt.Sprintf("The command '%s' returned a non-zero code: %d", e.command, e.code)
}

// Code goes into the answer beside the message.
func (e *exit) Code() int { return int(e.code) }

// explain words BuildKit's error as the first builder did, where it had words. st
// is the step that failed.
func explain(err error, st *step) error {
	var code *gatewayapi.ExitError
	if st.keyword == "RUN" && errors.As(err, &code) {
		return &exit{command: st.command, code: code.ExitCode}
	}
	if file, ok := missing(err.Error()); ok && (st.keyword == "COPY" || st.keyword == "ADD") {
		return fmt.Errorf("%s failed: file not found in build context or excluded by .dockerignore: stat %s: file does not exist", st.keyword, file)
	}
	return err
}

// placed says where in the Dockerfile an error is, of which no step that is shown does:
// its file, line, and the line's text.
func placed(err error) error {
	for _, s := range solvererrdefs.Sources(err) {
		if len(s.GetRanges()) == 0 {
			continue
		}
		lines := strings.Split(string(s.GetInfo().GetData()), "\n")
		if n := int(s.GetRanges()[0].GetStart().GetLine()); n > 0 && n <= len(lines) {
			return fmt.Errorf("%s:%d: %s: %w", s.GetInfo().GetFilename(), n, strings.TrimSpace(lines[n-1]), err)
		}
	}
	return err
}

// missing reads off BuildKit's message which file was not found.
func missing(text string) (file string, ok bool) {
	text, ok = strings.CutSuffix(text, `": not found`)
	if !ok {
		return "", false
	}
	i := strings.LastIndex(text, `: "/`)
	if i < 0 {
		return "", false
	}
	return text[i+len(`: "/`):], true
}

// failedVertex is the digest of the vertex that an error is about.
func failedVertex(err error) digest.Digest {
	var v *solvererrdefs.VertexError
	if errors.As(err, &v) && v.Vertex != nil {
		return digest.Digest(v.GetDigest())
	}
	return ""
}
