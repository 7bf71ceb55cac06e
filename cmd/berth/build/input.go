package build

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-engine/berth/pkg/decompress"
	"github.com/containerd/containerd/v2/plugins/content/local"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/session/upload/uploadprovider"
	"github.com/tonistiigi/fsutil"
)

// maxDockerfile bounds, in bytes, a Dockerfile that is piped in: buildx's bound.
const maxDockerfile = 2 << 20

// input fills in where a build reads from.
type input struct {
	solve  *bkclient.SolveOpt
	stdin  io.Reader
	remove []string // temporary folders
}

// close removes what was made for the build.
func (in *input) close() error {
	var err error
	for _, dir := range in.remove {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

func (in *input) load(o *options) error {
	if err := in.loadContext(o); err != nil {
		return err
	}
	for _, s := range o.contexts {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" || value == "" {
			return fmt.Errorf("invalid context value: %s, expected key=value", s)
		}
		if err := in.named(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (in *input) loadContext(o *options) error {
	switch {
	case o.context == "-" && o.file == "-":
		return errors.New("invalid argument: can't use stdin for both build context and dockerfile")
	case o.context == "-":
		return in.piped(o.file)
	case isFolder(o.context):
		return in.folder(o.context, o.file)
	case isRemote(o.context):
		return in.remote(o.context, o.file)
	default:
		return fmt.Errorf("unable to prepare context: path %q not found", o.context)
	}
}

// piped takes an archive of the context, or else a Dockerfile without one.
func (in *input) piped(file string) error {
	r := bufio.NewReader(in.stdin)
	if _, err := r.Peek(1); errors.Is(err, io.EOF) {
		return errors.New("nothing came from the standard input: pipe a Dockerfile or a tar archive into it")
	}
	archive, err := isArchive(r)
	switch {
	case err != nil:
		return fmt.Errorf("failed to read the standard input: %w", err)
	case archive:
		plain, err := decompress.Open(r)
		if err != nil {
			return fmt.Errorf("failed to read the standard input: %w", err)
		}
		up := uploadprovider.New()
		in.solve.FrontendAttrs["context"] = up.Add(decompress.Stored(plain))
		in.solve.Session = append(in.solve.Session, up)
		in.name(file)
		return nil
	case file != "":
		return errors.New("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles")
	}
	empty, err := in.temporary()
	if err != nil {
		return err
	}
	if err := in.mount("context", empty); err != nil {
		return err
	}
	return in.pipedDockerfile(r)
}

func (in *input) folder(dir, file string) error {
	if err := in.mount("context", dir); err != nil {
		return err
	}
	if abs, err := filepath.Abs(dir); err == nil {
		in.solve.SharedKey = filepath.Base(abs) // whose files of an earlier transfer are compared with
	}
	switch {
	case file == "-":
		return in.pipedDockerfile(in.stdin)
	case isURL(file):
		return fmt.Errorf("a Dockerfile is not fetched from an address (%s): give a file, or pipe it in with -f -", file)
	case file == "":
		in.name(dockerfileIn(dir))
		return in.mount("dockerfile", dir)
	}
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("failed to read dockerfile: %w", err)
	}
	in.name(filepath.Base(file))
	return in.mount("dockerfile", filepath.Dir(file))
}

// dockerfileIn is the name of a folder's Dockerfile; a lower-case one is taken if
// it is the only one.
func dockerfileIn(dir string) string {
	const name = "Dockerfile"
	if _, err := os.Lstat(filepath.Join(dir, name)); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Lstat(filepath.Join(dir, strings.ToLower(name))); err == nil {
			return strings.ToLower(name)
		}
	}
	return name
}

func (in *input) remote(address, file string) error {
	in.solve.FrontendAttrs["context"] = address
	switch {
	case file == "-":
		return in.pipedDockerfile(in.stdin)
	case filepath.IsAbs(file):
		in.solve.FrontendAttrs["dockerfilekey"] = "dockerfile"
		in.name(filepath.Base(file))
		return in.mount("dockerfile", filepath.Dir(file))
	}
	in.name(file)
	return nil
}

// pipedDockerfile puts what is read where the frontend can ask for it.
func (in *input) pipedDockerfile(r io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(r, maxDockerfile+1))
	if err != nil {
		return fmt.Errorf("failed to read dockerfile from STDIN: %w", err)
	}
	if len(b) > maxDockerfile {
		return fmt.Errorf("the Dockerfile on the standard input is larger than %d bytes", maxDockerfile)
	}
	dir, err := in.temporary()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), b, 0o600); err != nil {
		return err
	}
	in.solve.FrontendAttrs["dockerfilekey"] = "dockerfile"
	in.name("Dockerfile")
	return in.mount("dockerfile", dir)
}

func (in *input) temporary() (string, error) {
	dir, err := os.MkdirTemp("", "berth-build")
	if err == nil {
		in.remove = append(in.remove, dir)
	}
	return dir, err
}

func (in *input) name(file string) {
	if file == "" {
		file = "Dockerfile"
	}
	in.solve.FrontendAttrs["filename"] = file
}

func (in *input) mount(name, dir string) error {
	files, err := fsutil.NewFS(dir)
	if err != nil {
		return fmt.Errorf("unable to prepare context: %w", err)
	}
	in.solve.LocalMounts[name] = files
	return nil
}

// named adds a context that the Dockerfile calls by name.
func (in *input) named(name, value string) error {
	key := "context:" + name
	switch {
	case strings.HasPrefix(value, "docker-image://"), strings.HasPrefix(value, "target:"), isRemote(value):
		in.solve.FrontendAttrs[key] = value
		return nil
	case strings.HasPrefix(value, "oci-layout://"):
		return in.layout(name, strings.TrimPrefix(value, "oci-layout://"))
	case !isFolder(value):
		return fmt.Errorf("failed to get build context path %q of %s: no such directory", value, name)
	}
	mount := name
	if name == "context" || name == "dockerfile" {
		mount = "_" + name // those are taken
	}
	in.solve.FrontendAttrs[key] = "local:" + mount
	return in.mount(mount, value)
}

// layout adds an OCI layout's image: PATH[:TAG][@DIGEST].
func (in *input) layout(name, ref string) error {
	path, digest, _ := strings.Cut(ref, "@")
	tag := "latest"
	if i := strings.LastIndex(path, ":"); i > strings.LastIndex(path, "/") {
		path, tag = path[:i], path[i+1:]
	}
	if digest == "" {
		desc, err := ociindex.NewStoreIndex(path).Get(tag)
		switch {
		case err != nil:
			return fmt.Errorf("failed to read %s: %w", path, err)
		case desc == nil:
			return fmt.Errorf("failed to resolve %s:%s: no such tag in the layout", path, tag)
		}
		digest = desc.Digest.String()
	}
	store, err := local.NewStore(path)
	if err != nil {
		return fmt.Errorf("invalid store at %s: %w", path, err)
	}
	in.solve.OCIStores[name] = store
	in.solve.FrontendAttrs["context:"+name] = "oci-layout://" + name + ":" + tag + "@" + digest
	return nil
}

func isFolder(path string) bool {
	i, err := os.Stat(path)
	return err == nil && i.IsDir()
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

func isRemote(s string) bool {
	_, git, _ := dfgitutil.ParseGitRef(s)
	return git || isURL(s)
}

// isArchive recognises tar (by POSIX's mark in its first header), and whatever is
// compressed.
func isArchive(r *bufio.Reader) (bool, error) {
	format, err := decompress.Sniff(r)
	if err != nil || format != decompress.Plain {
		return err == nil, err
	}
	head, err := r.Peek(512)
	if len(head) < 512 && errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if string(head[257:262]) == "ustar" {
		return true, nil
	}
	_, err = tar.NewReader(bytes.NewReader(head)).Next() // from before POSIX
	return err == nil, nil
}
