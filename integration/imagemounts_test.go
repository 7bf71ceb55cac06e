package integration

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestImageMounts mounts images into containers: what they are when the container is
// made, for as long as it is there, whatever becomes of the name or the daemon.
func TestImageMounts(t *testing.T) {
	scripts(t, func(s script) {
		s.imageOf("data:1", "first")
		s.imageMounts()
		s.imageMountsInUse()
		s.imageMountsRefused()
		s.empty()
		awaitClean(s.t, s.d)
	})
}

// imageOf makes an image with one file more than the sample.
func (s script) imageOf(name, content string) {
	s.t.Helper()
	s.ok("run", "--name", "maker", image, "sh", "-c", "mkdir -p /kept/sub && echo "+content+" >/kept/sub/file && ln -s /etc /kept/out && ln -s sub /kept/in")
	s.ok("commit", "maker", name)
	s.ok("rm", "maker")
}

func (s script) imageMounts() {
	s.t.Helper()
	whole, part := "type=image,source=data:1,target=/img", "type=image,source=data:1,target=/part,image-subpath=kept/in"
	s.is("first", "run", "--rm", "--mount", whole, image, "cat", "/img/kept/sub/file")
	s.is("ran", "run", "--rm", "--mount", whole, image, "/img/bin/busybox", "echo", "ran")
	s.is("first", "run", "--rm", "--mount", part, image, "cat", "/part/file")
	s.is("first", "run", "--rm", "--mount", "type=image,source=data:1,target=/file,image-subpath=kept/sub/file", image, "cat", "/file")
	for _, file := range []string{"/img/x", "/part/x"} {
		s.do("run", "--rm", "--mount", whole, "--mount", part, image, "touch", file).Fails(s.t, 1, "Read-only file system")
	}
	s.ok("run", "-d", "--name", "holder", "--mount", whole, "--mount", part, image, "sleep", "1000")
	s.is("image data:1 /img false;image data:1 /part false;", "inspect", "-f", `{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}};{{end}}`, "holder")
	s.is("data:1 kept/in", "inspect", "-f", `{{with index .HostConfig.Mounts 1}}{{.Source}} {{.ImageOptions.Subpath}}{{end}}`, "holder")
	s.contains(s.d.Data(), "inspect", "-f", `{{(index .Mounts 0).Source}}`, "holder")
	s.is("first", "run", "--rm", "--volumes-from", "holder", image, "cat", "/part/file")
	out := filepath.Join(s.t.TempDir(), "file")
	s.ok("cp", "holder:/part/file", out)
	s.do("cp", out, "holder:/part/other").Fails(s.t, 1, "read-only")
}

// imageMountsInUse goes on with the holder of imageMounts.
func (s script) imageMountsInUse() {
	s.t.Helper()
	short := s.ok("inspect", "-f", "{{slice .Id 0 12}}", "holder")
	s.do("rmi", "data:1").Fails(s.t, 1, "conflict: unable to delete data:1 (must be forced) - container "+short+" is using its referenced image")
	old := s.ok("inspect", "-f", "{{.Id}}", "data:1")
	s.do("rmi", "-f", old).Fails(s.t, 1, "(cannot be forced) - image is being used by running container "+short)
	s.imageOf("data:1", "second")
	s.is("second", "run", "--rm", "--mount", "type=image,source=data:1,target=/img", image, "cat", "/img/kept/sub/file")
	s.is("first", "run", "--rm", "--volumes-from", "holder", image, "cat", "/img/kept/sub/file")
	s.d.Kill()
	s.d.Run()
	s.is("first", "exec", "holder", "cat", "/img/kept/sub/file")
	s.ok("restart", "-t", "0", "holder")
	s.is("first", "exec", "holder", "cat", "/part/file")
	s.ok("image", "prune", "-f")
	s.ok("inspect", old) // it has no name, but a container
	s.ok("stop", "-t", "0", "holder")
	s.ok("rmi", "-f", old)
	s.ok("start", "holder") // what it has mounted is not the image's alone
	s.is("first", "exec", "holder", "cat", "/img/kept/sub/file")
	s.ok("rm", "-f", "holder")
	s.ok("rmi", "data:1")
}

func (s script) imageMountsRefused() {
	s.t.Helper()
	for mount, want := range map[string]string{ // all before there is a container
		"type=image,source=missing,target=/img":                               "No such image: missing:latest",
		"type=image,source=" + image + ",target=/img,image-subpath=../x":      "subpath must be a relative path within the volume",
		"type=image,source=" + image + ",target=/":                            "destination can't be '/'",
		"type=image,source=" + strings.ToUpper(image) + ",target=/img":        "invalid reference format",
		"type=image,source=" + image + ",target=/img,bind-propagation=shared": "cannot mix",
	} {
		s.do("run", "--rm", "--pull", "never", "--mount", mount, image, "true").Fails(s.t, 125, want)
	}
	// Found by the start; Docker's client takes the words for those of a missing command.
	s.do("run", "--rm", "--mount", "type=image,source="+image+",target=/img,image-subpath=no/such", image, "true").
		Fails(s.t, 127, "cannot access path "+image+"/no/such: no such file or directory")
}
