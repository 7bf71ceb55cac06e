package images

import "github.com/opencontainers/go-digest"

// Count says how many images there are, whatever number of names they have.
func (s *Store) Count() int { return len(s.index.view().targets) }

// Size is what all images of s take on disk, in bytes: each blob and each snapshot
// once, whatever number of images have it.
func Size(s *Store) (total int64) {
	seen := map[digest.Digest]bool{}
	add := func(d digest.Digest, size int64) {
		if !seen[d] {
			seen[d] = true
			total += size
		}
	}
	for _, t := range s.index.view().sorted {
		add(t.desc.Digest, t.own)
		for _, m := range t.manifests {
			rest := m.content
			if m.available { // or else it is not known which of the layers are here
				for _, l := range m.layers {
					add(l.Digest, l.Size)
					rest -= l.Size
				}
			}
			add("of "+m.desc.Digest, rest)
			for i, size := range m.unpacked {
				add("of "+m.chain[i], size)
			}
		}
	}
	return total
}
