package catalog

import "github.com/opencontainers/go-digest"

// Count says how many images there are, whatever number of names they have.
func (x *Catalog) Count() int { return len(x.View().Targets) }

// Size is what all images take on disk, in bytes: each blob and each snapshot
// once, whatever number of images have it.
func (x *Catalog) Size() (total int64) {
	seen := map[digest.Digest]bool{}
	add := func(d digest.Digest, size int64) {
		if !seen[d] {
			seen[d] = true
			total += size
		}
	}
	for _, t := range x.View().Sorted {
		add(t.Desc.Digest, t.own)
		for _, m := range t.Manifests {
			rest := m.content
			if m.Available { // or else it is not known which of the layers are here
				for _, l := range m.Layers {
					add(l.Digest, l.Size)
					rest -= l.Size
				}
			}
			add("of "+m.Desc.Digest, rest)
			for i, size := range m.unpacked {
				add("of "+m.chain[i], size)
			}
		}
	}
	return total
}
