package container

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// NewID gives 64 hexadecimal digits, for a container or an exec. The first 12
// are never all decimal: such a short ID could not be told from a number, and
// host names made of it are refused by some resolvers.
func NewID() string {
	var b [32]byte
	for {
		rand.Read(b[:]) // never fails (crypto/rand)
		id := hex.EncodeToString(b[:])
		if strings.ContainsAny(id[:12], "abcdef") {
			return id
		}
	}
}
