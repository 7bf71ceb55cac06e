package records

import (
	"encoding/json"
	"path/filepath"
	"strings"
)

// View is what one container sees.
type View struct {
	Networks []Network `json:"networks"`          // that have names, in the order in which they are asked
	Forward  bool      `json:"forward,omitempty"` // a network leads outside
}

// Network is one of the networks that a container is on.
type Network struct {
	Name  string            `json:"name"`
	Links map[string]string `json:"links,omitempty"` // alias, in lower case, to the name that it stands for
}

func (s Sandbox) view() []byte {
	v := View{Networks: []Network{}}
	for _, e := range s.Endpoints {
		v.Forward = v.Forward || !e.Internal
		if e.Plain {
			continue
		}
		n := Network{Name: e.Network, Links: map[string]string{}}
		for _, l := range e.Links {
			if target, alias, ok := strings.Cut(l, ":"); ok && target != "" && alias != "" {
				n.Links[strings.ToLower(alias)] = target
			} else if ok || l != "" { // alone, it is its own alias
				n.Links[strings.ToLower(l)] = l
			}
		}
		v.Networks = append(v.Networks, n)
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings always encode
	}
	return b
}

// ParseView reads a container's file.
func ParseView(b []byte) (v View, err error) { return v, json.Unmarshal(b, &v) }

// TablePath is where the file of a network is, given the path of a view.
func TablePath(view, network string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(view)), "networks", network)
}
