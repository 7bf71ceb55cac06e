// Package policy decides which images go when the disk fills. It is pure: what is
// there comes in, what should go comes out.
package policy

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/distribution/reference"
)

// Policy is an operator's wish; the zero value wishes nothing.
type Policy struct {
	High, Low int      // percent of the file system: above High images go until it is at Low; High 0 is off
	Keep      []string // patterns of names as of docker image ls --filter reference=
	DryRun    bool     // say what would go, and leave it
}

// Validate says what is wrong with a policy.
func (p Policy) Validate() error {
	if p.High == 0 && p.Low == 0 {
		return nil
	}
	if p.High < 1 || p.High > 100 || p.Low < 0 || p.Low >= p.High {
		return fmt.Errorf("watermarks are percents, the low one below the high one: %d, %d", p.Low, p.High)
	}
	for _, k := range p.Keep {
		if _, err := path.Match(k, ""); err != nil {
			return fmt.Errorf("pattern %q: %w", k, err)
		}
	}
	return nil
}

// Excess is how many bytes must go from a file system of size bytes of which used
// are taken, 0 for none.
func (p Policy) Excess(used, size uint64) uint64 {
	if p.High == 0 || size == 0 || used*100 <= size*uint64(p.High) {
		return 0
	}
	return used - size*uint64(p.Low)/100
}

// Image is one that could go.
type Image struct {
	ID    string
	Names []string // containerd's; none for a dangling image
	InUse bool     // by a container
	Used  time.Time
	Size  int64 // bytes that nobody else has
}

// Choose returns what should go to free so many bytes, in this order: images
// without a name first, then those that were not used for the longest time. Images
// of containers and those to be kept stay. It may be less than is wished for.
func (p Policy) Choose(all []Image, bytes uint64) (out []Image) {
	candidates := slices.DeleteFunc(slices.Clone(all), func(i Image) bool { return i.InUse || p.kept(i) })
	slices.SortFunc(candidates, func(a, b Image) int {
		return cmp.Or(cmp.Compare(min(len(a.Names), 1), min(len(b.Names), 1)), a.Used.Compare(b.Used), cmp.Compare(a.ID, b.ID))
	})
	var freed uint64
	for _, i := range candidates {
		if freed >= bytes {
			break
		}
		out = append(out, i)
		freed += uint64(max(i.Size, 0))
	}
	return out
}

func (p Policy) kept(i Image) bool {
	for _, name := range i.Names {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			continue
		}
		for _, k := range p.Keep {
			for _, n := range []reference.Named{named, reference.TrimNamed(named)} {
				if ok, err := reference.FamiliarMatch(k, n); err == nil && ok {
					return true
				}
			}
		}
	}
	return false
}
