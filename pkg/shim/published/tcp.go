package published

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// dialTimeout bounds how long a client waits for the container to answer.
const dialTimeout = 10 * time.Second

// retry is the pause after a failure to accept, for want of files or memory that
// others may give back.
const retry = 50 * time.Millisecond

// join copies both ways, each until its end.
func join(ctx context.Context, client *net.TCPConn, to netip.AddrPort) {
	defer client.Close()
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		_ = client.SetLinger(0) // the client gets a reset: nobody is there
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	defer context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = server.Close()
	})()
	var back sync.WaitGroup
	back.Go(func() { pass(client, server) })
	pass(server, client)
	back.Wait()
}

// pass copies up to the end of src, which it passes on too.
func pass(dst, src *net.TCPConn) {
	if _, err := io.Copy(dst, src); err != nil {
		_ = dst.Close() // the other direction ends as well
		_ = src.Close()
		return
	}
	_ = dst.CloseWrite()
}
