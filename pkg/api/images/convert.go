package images

import (
	"time"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/image"
)

// convertList gives a list of images the shape of version v.
func convertList(list []image.Summary, v api.Version) any {
	if v < api.V1(51) { // told by system df only
		for i := range list {
			list[i].Containers = -1
		}
	}
	return ConvertSummaries(list, v)
}

// ConvertSummaries gives images the shape of version v, as system df has them.
func ConvertSummaries(list []image.Summary, v api.Version) any {
	if list == nil {
		list = []image.Summary{}
	}
	for i := range list {
		convertSummary(&list[i], v)
	}
	if v >= api.V1(44) {
		return list
	}
	old := make([]oldSummary, len(list))
	for i := range list {
		old[i] = oldSummary{Summary: &list[i], VirtualSize: list[i].Size}
	}
	return old
}

// oldSummary is an image up to API 1.43, which told its size twice.
type oldSummary struct {
	*image.Summary
	VirtualSize int64
}

func convertSummary(i *image.Summary, v api.Version) {
	if v < api.V1(43) && len(i.RepoTags) == 0 && len(i.RepoDigests) == 0 {
		i.RepoTags = []string{"<none>:<none>"}
		i.RepoDigests = []string{"<none>@<none>"}
	}
	if i.RepoTags == nil {
		i.RepoTags = []string{}
	}
	if i.RepoDigests == nil {
		i.RepoDigests = []string{}
	}
	if v < api.V1(48) {
		i.Descriptor = nil
	}
}

// convertInspect gives an image the shape of version v.
func convertInspect(i image.InspectResponse, v api.Version) any {
	if i.RepoTags == nil {
		i.RepoTags = []string{}
	}
	if i.RepoDigests == nil {
		i.RepoDigests = []string{}
	}
	if v < api.V1(53) {
		i.Identity = nil
	}
	if v < api.V1(48) {
		i.Descriptor = nil
	}
	if v >= api.V1(52) {
		// Snapshotters have nothing to say there but their name.
		if g := i.GraphDriver; g != nil && len(g.Data) == 0 {
			i.GraphDriver = nil
		}
		return i
	}
	extra := api.Fields{
		"Parent": "", "Comment": "", "DockerVersion": "", "Author": "", // omitted when empty since 1.52
		"Config": oldConfig(v),
	}
	if v < api.V1(45) {
		extra["Container"] = ""
		// Of the container that the image was once committed from. Compose 1 reads its
		// volumes, to keep those that have no name.
		extra["ContainerConfig"] = api.WithFields(i.Config, oldConfig(v))
	}
	if v < api.V1(44) {
		extra["VirtualSize"] = i.Size
		extra["Created"] = time.Time{}.Format(time.RFC3339Nano) // where the image has none
	}
	return api.WithFields(i, extra)
}

// oldConfig are the fields of an image's configuration that were told even
// when empty (up to API 1.51), and those of a container's configuration that
// came with them, always empty (up to 1.49).
func oldConfig(v api.Version) api.Fields {
	f := api.Fields{
		"Cmd": nil, "Entrypoint": nil, "Env": nil, "Labels": nil,
		"OnBuild": nil, "User": "", "Volumes": nil, "WorkingDir": "",
	}
	if v < api.V1(50) {
		for _, name := range []string{"Domainname", "Hostname", "Image"} {
			f[name] = ""
		}
		for _, name := range []string{"AttachStderr", "AttachStdin", "AttachStdout", "OpenStdin", "StdinOnce", "Tty"} {
			f[name] = false
		}
	}
	return f
}
