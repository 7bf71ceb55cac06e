package net

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/moby/moby/api/types/network"
)

// BenchmarkEndpoint measures one container's network with two published ports:
// what run pays, and rm. The cost must not grow with what is there.
func BenchmarkEndpoint(b *testing.B) {
	for _, others := range []int{0, 300} {
		b.Run(fmt.Sprintf("beside-%d", others), func(b *testing.B) {
			m := open(b)
			for i := range others {
				start(b, m, fmt.Sprintf("other%d", i), network.PortMap{
					network.MustParsePort("80/tcp"): {{}}, network.MustParsePort("443/tcp"): {{}}})
			}
			publish := portMap(b, "8080:80/tcp", "127.0.0.1:8443:443/tcp")
			wanted := map[string]*network.EndpointSettings{"bridge": nil}
			b.Run("add", func(b *testing.B) {
				for range b.N {
					if _, _, _, err := m.Setup(b.Context(), "x", "x", wanted, publish); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					if err := m.Teardown(b.Context(), "x"); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
			})
			b.Run("remove", func(b *testing.B) {
				for range b.N {
					b.StopTimer()
					if _, _, _, err := m.Setup(b.Context(), "x", "x", wanted, publish); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
					if err := m.Teardown(b.Context(), "x"); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("parallel", func(b *testing.B) {
				var n atomic.Int32
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						id := fmt.Sprintf("p%d", n.Add(1))
						if _, _, _, err := m.Setup(b.Context(), id, id, wanted, portMap(b, ":80/tcp", ":443/tcp")); err != nil {
							b.Error(err)
						}
						if err := m.Teardown(b.Context(), id); err != nil {
							b.Error(err)
						}
					}
				})
			})
		})
	}
}
