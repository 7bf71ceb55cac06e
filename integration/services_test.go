package integration

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestServices builds what people run in earnest from Debian's packages, and runs it.
func TestServices(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.DebianBase("debian-base:test")
	for _, target := range []string{"nginx", "redis", "postgres", "app"} {
		d.LongBuild("-t", "service:"+target, "--target", target, "testdata/services").OK(t)
	}
	get := func(name, port, path string) string {
		address := d.Berth("port", name, port).OK(t)
		var body string
		await(t, name+" answers", func() bool {
			resp, err := http.Get("http://" + strings.Split(address, "\n")[0] + path)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			body = strings.TrimSpace(string(b))
			return err == nil
		})
		return body
	}
	for _, s := range []string{"nginx", "redis", "postgres", "app"} {
		d.Berth("run", "-d", "--name", s+"1", "-p", "127.0.0.1::80", "-p", "127.0.0.1::8000", "service:"+s).OK(t)
	}
	if got := get("nginx1", "80", "/"); got != "served by nginx" {
		t.Errorf("nginx: %q", got)
	}
	if got := get("app1", "8000", "/asked"); got != "python says /asked" {
		t.Errorf("the Python program: %q", got)
	}
	await(t, "redis answers", func() bool { return d.Berth("exec", "redis1", "redis-cli", "ping").Stdout == "PONG\n" })
	d.Berth("exec", "redis1", "redis-cli", "set", "k", "v").OK(t)
	if got := d.Berth("exec", "redis1", "redis-cli", "get", "k").OK(t); got != "v" {
		t.Errorf("redis: %q", got)
	}
	query := func(q string) harness.Result { return d.Berth("exec", "postgres1", "psql", "-Atqc", q) }
	await(t, "PostgreSQL answers", func() bool { return query("select 1").Code == 0 })
	query("create table t as select generate_series(1, 1000) as n").OK(t)
	if got := query("select sum(n) from t").OK(t); got != "500500" {
		t.Errorf("PostgreSQL: %q", got)
	}
	await(t, "the Python program is healthy", func() bool {
		return strings.Contains(d.Berth("ps", "--filter", "name=app1", "--format", "{{.Status}}").OK(t), "(healthy)")
	})
	if got := d.Berth("logs", "nginx1").Stdout; !strings.Contains(got, "GET / HTTP/1.1") {
		t.Errorf("nginx logs %q", got)
	}
}
