package shim

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/berth-engine/berth/pkg/logs"
	"github.com/berth-engine/berth/pkg/streams"
)

// process is the streams of one process: pipes to upstream's service, which copies
// between them and the runtime's, and the clients that share them.
type process struct {
	cfg    streams.Config
	log    logs.Driver // closed when both outputs have ended
	buffer string      // folder for the buffers of slow clients
	in     *input      // nil without stdin
	outs   []*output   // stdout and, without a tty, stderr
	done   chan struct{}

	mu      sync.Mutex // guards the following
	clients map[*client]struct{}
	ended   bool // both outputs have ended
	over    bool // the process is gone
	killer  *time.Timer
}

// output is one of the process's output streams.
type output struct {
	number byte // in Docker's framing
	name   string
	r      *os.File
	w      *os.File // keeps the pipe from ending before upstream opens it
}

// chunk is what is read from a pipe at once. A pipe holds 64 KiB.
const chunk = 32 << 10

// newProcess makes the pipes. closeIO closes upstream's end of stdin.
func newProcess(cfg streams.Config, log logs.Driver, buffer string, closeIO func()) (p *process, err error) {
	p = &process{cfg: cfg, log: log, buffer: buffer, done: make(chan struct{}), clients: map[*client]struct{}{}}
	defer func() {
		if err != nil {
			p.closePipes()
		}
	}()
	p.outs = []*output{{number: streams.Stdout, name: "stdout"}}
	if !cfg.Tty {
		p.outs = append(p.outs, &output{number: streams.Stderr, name: "stderr"})
	}
	for _, o := range p.outs {
		if o.r, o.w, err = os.Pipe(); err != nil {
			return nil, err
		}
	}
	if cfg.Stdin {
		// An exec's stdin always ends with the client that came with it. A tty
		// never does: upstream would hang it up.
		once := (cfg.StdinOnce || cfg.Exec != "") && !cfg.Tty
		if p.in, err = newInput(once, closeIO); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// start begins to read. done is closed at the end of both outputs.
func (p *process) start() {
	var wg sync.WaitGroup
	for _, o := range p.outs {
		wg.Go(func() { p.drain(o) })
	}
	go func() {
		wg.Wait()
		if err := p.log.Close(); err != nil {
			slog.Error("log is incomplete", "container", p.cfg.ID, "error", err)
		}
		p.mu.Lock()
		p.ended = true
		for c := range p.clients {
			c.out.end()
		}
		p.mu.Unlock()
		close(p.done)
	}()
}

// paths are the names under which upstream opens the pipes, valid until opened.
func (p *process) paths() (stdin, stdout, stderr string) {
	stdout = procPath(p.outs[0].w)
	if len(p.outs) > 1 {
		stderr = procPath(p.outs[1].w)
	}
	if p.in != nil {
		stdin = procPath(p.in.r) // w may be closed, and its number taken, by then
	}
	return stdin, stdout, stderr
}

// procPath names an open file. Opening a pipe by it makes an end of its own, which
// blocks whatever mode ours has. The descriptor is asked for through RawConn:
// File.Fd would take the pipe out of the runtime's poller.
func procPath(f *os.File) (path string) {
	raw, err := f.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) { path = fmt.Sprintf("/proc/self/fd/%d", fd) })
	}
	return path
}

// opened tells that upstream has opened what it will: from now on the outputs end
// when upstream's ends do. It may be called more than once, by one goroutine at a time.
func (p *process) opened() {
	for _, o := range p.outs {
		_ = o.w.Close()
	}
	if p.in != nil {
		p.in.upstreamOpened()
	}
}

// drain passes one output on until its end. Clients come first: the log may wait
// for a disk, a queue in memory does not.
func (p *process) drain(o *output) {
	buf := make([]byte, streams.HeaderSize+chunk)
	for {
		n, err := o.r.Read(buf[streams.HeaderSize:])
		if n > 0 {
			now := time.Now()
			payload := buf[streams.HeaderSize : streams.HeaderSize+n]
			streams.PutHeader(buf, o.number, n)
			p.broadcast(o.number, buf[:streams.HeaderSize+n], payload)
			if err := p.log.Write(o.name, now, payload); err != nil {
				slog.Error("log", "container", p.cfg.ID, "error", err)
			}
		}
		if err != nil { // io.EOF, or closed by finish
			return
		}
	}
}

func (p *process) broadcast(number byte, frame, payload []byte) {
	if p.cfg.Tty {
		frame = payload
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.clients {
		if number == streams.Stdout && !c.want.Stdout || number == streams.Stderr && !c.want.Stderr {
			continue
		}
		if err := c.out.push(frame); err != nil {
			delete(p.clients, c)
			if !errors.Is(err, errGone) {
				slog.Warn("client dropped", "container", p.cfg.ID, "exec", p.cfg.Exec, "error", err)
			}
			_ = c.conn.Close()
		}
	}
}

// join adds a client, with the answer to its request as the first thing it gets,
// so that no output falls between the two.
func (p *process) join(conn *net.UnixConn, r streams.Request, answer []byte) *client {
	c := &client{conn: conn, want: r, out: newQueue(p.buffer)}
	_ = c.out.push(answer)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		c.out.end()
	} else {
		p.clients[c] = struct{}{}
	}
	return c
}

func (p *process) leave(c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.clients, c)
}

// finish is called when the process is gone. It waits at most bound for its last
// byte to reach the log and the queues of clients, then cuts the outputs off:
// something else holds them open, or the log waits for its server.
func (p *process) finish(bound time.Duration) {
	p.opened()
	p.release()
	t := time.NewTimer(bound)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		for _, o := range p.outs {
			_ = o.r.Close()
		}
		p.log.Stop()
		<-p.done
	}
	p.closePipes()
}

func (p *process) closePipes() {
	for _, o := range p.outs {
		for _, f := range []*os.File{o.r, o.w} {
			if f != nil {
				_ = f.Close()
			}
		}
	}
	if p.in != nil {
		_ = p.in.release()
	}
}
