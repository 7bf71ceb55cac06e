package root

import "testing"

func TestInBerthsWords(t *testing.T) {
	for in, want := range map[string]string{
		"Manage Docker":                                 "Manage Berth",
		"Show docker disk usage":                        "Show berth disk usage",
		"docker container ls, docker ps":                "berth container ls, berth ps",
		`set with "docker context use"`:                 `set with "berth context use"`,
		"The **docker manifest** command":               "The **berth manifest** command",
		"\n$ docker context create x --docker \"host\"": "\n$ berth context create x --docker \"host\"",
		"Search Docker Hub for images":                  "Search Docker Hub for images",
		"Build an image from a Dockerfile":              "Build an image from a Dockerfile",
		"Refer to https://docs.docker.com/go/docker/ x": "Refer to https://docs.docker.com/go/docker/ x",
		`files (default "/root/.docker")`:               `files (default "/root/.docker")`,
		"set the docker endpoint":                       "set the docker endpoint",
		"overrides DOCKER_HOST env var":                 "overrides DOCKER_HOST env var",
		"":                                              "",
	} {
		if got := inBerthsWords(in); got != want {
			t.Errorf("%q\n got %q\nwant %q", in, got, want)
		}
	}
}
