package images

import (
	"sync"
	"time"

	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/opencontainers/go-digest"
)

// uses remembers when images were last made a container of, as long as the
// process lives.
type uses struct {
	mu sync.Mutex // guards at
	at map[digest.Digest]time.Time
}

func (u *uses) note(id digest.Digest) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.at == nil {
		u.at = map[digest.Digest]time.Time{}
	}
	u.at[id] = time.Now()
}

// last is when t was last used, or else named.
func (u *uses) last(t *catalog.Target) time.Time {
	u.mu.Lock()
	at := u.at[t.Desc.Digest]
	u.mu.Unlock()
	if tagged := t.Tagged(); tagged.After(at) {
		return tagged
	}
	return at
}
