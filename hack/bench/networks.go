package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// post calls the engine's API and returns how long that took: what is measured here
// takes less than a client's start.
func (e *engine) post(ctx context.Context, path string, body any) (time.Duration, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", e.socket)
	}}}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine"+path, bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	q.Header.Set("Content-Type", "application/json")
	began := time.Now()
	r, err := client.Do(q)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode >= 300 {
		err = fmt.Errorf("%s: POST %s: %s: %s", e.name, path, r.Status, bytes.TrimSpace(text))
	}
	return time.Since(began), err
}

// endpointCase connects a running container, which has no way out and publishes two
// ports, to a network that leads out, and takes it off again: alone, and beside
// others on that network.
func endpointCase(o options, beside int) benchCase {
	name, inside, network := prefix+"endpoint", prefix+"inside", prefix+"net"
	others := numbered("beside", beside)
	about := fmt.Sprintf(", beside %d containers (ms)", beside)
	return benchCase{name: fmt.Sprintf("endpoint, beside %d containers", beside), rounds: o.rounds, warmup: true,
		before: func(ctx context.Context, e *engine) error {
			for _, args := range [][]string{
				{"network", "create", "--internal", inside}, {"network", "create", network},
				{"run", "-d", "--name", name, "--network", inside, "-p", "80", "-p", "443", image, "sleep", "3600"},
			} {
				if err := e.do(ctx, args...); err != nil {
					return err
				}
			}
			return each(others, 4, func(other string) error {
				return e.do(ctx, "run", "-d", "--name", other, "--network", network, "-p", "80", "-p", "443", image, "sleep", "3600")
			})
		},
		sample: func(ctx context.Context, e *engine, add adder) error {
			took, err := e.post(ctx, "/networks/"+network+"/connect", map[string]any{"Container": name})
			if err != nil {
				return err
			}
			add("endpoint with two ports added"+about, ms(took))
			took, err = e.post(ctx, "/networks/"+network+"/disconnect", map[string]any{"Container": name})
			add("endpoint with two ports removed"+about, ms(took))
			return err
		},
		after: func(ctx context.Context, e *engine) error {
			if err := e.do(ctx, append([]string{"rm", "-f", name}, others...)...); err != nil {
				return err
			}
			return e.do(ctx, "network", "rm", inside, network)
		}}
}

// portsCase starts a container with many ports. It is the first engine's alone: one
// that has a process for each port would keep the machine busy for minutes.
func portsCase(o options, count int) benchCase {
	name, all := prefix+"ports", fmt.Sprintf("10000-%d", 10000+count-1)
	var first *engine
	figure := fmt.Sprintf("run -d with %d ports (ms)", count)
	return benchCase{name: figure, rounds: max(1, o.rounds/3),
		before: func(_ context.Context, e *engine) error {
			if first == nil {
				first = e
			}
			return nil
		},
		sample: func(ctx context.Context, e *engine, add adder) error {
			if e != first {
				return nil
			}
			_, took, err := e.run(ctx, "run", "-d", "--name", name, "-p", all+":"+all, image, "sleep", "3600")
			if err != nil {
				return err
			}
			add(figure, ms(took))
			return e.do(ctx, "rm", "-f", name)
		}}
}
