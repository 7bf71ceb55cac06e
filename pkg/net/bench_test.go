package net

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"
)

// BenchmarkEndpoint measures one container's network with two published ports:
// what run pays, and rm. The cost must not grow with what is there. cpu-ms/op is
// the processor time, which other work on the machine does not change; what the
// kernel does behind the answer is in it.
func BenchmarkEndpoint(b *testing.B) {
	for _, others := range []int{0, 100, 500} {
		b.Run(fmt.Sprintf("beside-%d", others), func(b *testing.B) {
			m := open(b)
			for i := range others {
				start(b, m, fmt.Sprintf("other%d", i), network.PortMap{
					network.MustParsePort("80/tcp"): {{}}, network.MustParsePort("443/tcp"): {{}}})
			}
			publish := portMap(b, ":80/tcp", "127.0.0.1::443/tcp")
			add := func(b *testing.B, id string) {
				if _, _, _, err := m.Setup(b.Context(), id, id, onBridge, publish); err != nil {
					b.Fatal(err)
				}
			}
			remove := func(b *testing.B, id string) {
				if err := m.Teardown(b.Context(), id); err != nil {
					b.Fatal(err)
				}
			}
			b.Run("add", func(b *testing.B) {
				// Removed at the end: the kernel goes on deleting behind the answer.
				n := 0
				measured(b, func() { n++ }, func() { add(b, fmt.Sprint("x", n)) }, func() {})
				b.StopTimer()
				for ; n > 0; n-- {
					remove(b, fmt.Sprint("x", n))
				}
			})
			b.Run("remove", func(b *testing.B) {
				measured(b, func() { add(b, "x") }, func() { remove(b, "x") }, func() {})
			})
			b.Run("parallel", func(b *testing.B) { parallel(b, m) })
		})
	}
}

// measured times f alone.
func measured(b *testing.B, before, f, after func()) {
	var cpu time.Duration
	for range b.N {
		b.StopTimer()
		before()
		from := cpuTime(b)
		b.StartTimer()
		f()
		b.StopTimer()
		cpu += cpuTime(b) - from
		after()
		b.StartTimer()
	}
	b.ReportMetric(float64(cpu.Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// parallel adds and removes at the same time: nobody waits for another's whole
// turn.
func parallel(b *testing.B, m *Manager) {
	var n atomic.Int32
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := fmt.Sprintf("p%d", n.Add(1))
			if _, _, _, err := m.Setup(b.Context(), id, id, onBridge, portMap(b, ":80/tcp", ":443/tcp")); err != nil {
				b.Error(err)
			}
			if err := m.Teardown(b.Context(), id); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkPorts measures a container with many ports.
func BenchmarkPorts(b *testing.B) {
	for _, count := range []int{1000, 8000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			m := open(b)
			ports := network.PortMap{}
			for p := range count {
				ports[network.MustParsePort(fmt.Sprintf("%d/tcp", 10000+p))] = []network.PortBinding{{HostPort: fmt.Sprint(10000 + p)}}
			}
			measured(b, func() {}, func() {
				if _, _, _, err := m.Setup(b.Context(), "x", "x", onBridge, ports); err != nil {
					b.Fatal(err)
				}
			}, func() {
				if err := m.Teardown(b.Context(), "x"); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkThroughput measures TCP by iperf3 from another host: to this one over
// the cable, to a container by a published port, and between two containers.
func BenchmarkThroughput(b *testing.B) {
	lan := nettest.NewHost(b, "lan", "192.0.2.1/24", "192.0.2.9/24")
	m := open(b)
	web, ip, _ := start(b, m, "web", portMap(b, "5202:5201/tcp"))
	other, _, _ := start(b, m, "other", nil)
	for _, bb := range []struct{ name, server, client, to, port string }{
		{"veth", hostNetNS, lan.Path, "192.0.2.1", "5201"},
		{"published", web, lan.Path, "192.0.2.1", "5202"},
		{"bridge", web, other, ip.String(), "5201"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var sum float64
			for range b.N {
				sum += iperf(b, bb.server, bb.client, bb.to, bb.port)
			}
			b.ReportMetric(sum/float64(b.N), "Gbit/s")
		})
	}
}

// iperf runs a server for one client of a second, and returns what was received.
func iperf(b *testing.B, server, client, to, port string) (gbits float64) {
	var listening strings.Builder
	s := exec.Command("iperf3", "-s", "-1", "--forceflush")
	out, err := s.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	nettest.In(b, server, s.Start)
	defer func() { _ = s.Wait() }()
	defer func() { _ = s.Process.Kill() }()
	for buf := make([]byte, 256); !strings.Contains(listening.String(), "Server listening"); {
		n, err := out.Read(buf)
		if err != nil {
			b.Fatalf("iperf3 (hack/deps bench): %v: %s", err, listening.String())
		}
		listening.Write(buf[:n])
	}
	var answer struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	nettest.In(b, client, func() error {
		text, err := exec.Command("iperf3", "-J", "-t", "1", "-c", to, "-p", port).Output()
		if err != nil {
			return fmt.Errorf("%w: %s", err, text)
		}
		return json.Unmarshal(text, &answer)
	})
	return answer.End.Received.Rate / 1e9
}
