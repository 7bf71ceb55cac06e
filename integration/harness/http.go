package harness

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/berth-engine/berth/pkg/api/contract"
)

// validator holds every answer of every test against the API's schema.
var validator = sync.OnceValues(contract.New)

// HTTP is a raw client of the daemon's socket. Whatever it is answered must be
// as swagger.yaml says.
func (d *Daemon) HTTP() *http.Client {
	d.t.Helper()
	v, err := validator()
	if err != nil {
		d.t.Fatal(err)
	}
	plain := &http.Transport{DialContext: d.Dial}
	d.t.Cleanup(plain.CloseIdleConnections)
	return &http.Client{Transport: v.Transport(plain, func(err error) {
		d.t.Errorf("contract: %v", err)
	})}
}

// Dial connects to the daemon, whatever address is asked for.
func (d *Daemon) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", d.Socket)
}
