package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/config"
	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// listen opens every host of the configuration, or none.
func listen(cfg *config.Config) (all []net.Listener, err error) {
	defer func() {
		if err != nil {
			closeAll(all)
		}
	}()
	for _, h := range cfg.Hosts {
		var ls []net.Listener
		switch h.Proto {
		case "unix":
			ls, err = listenUnix(h.Addr, cfg.Group)
		case "tcp":
			ls, err = listenTCP(h.Addr, cfg.TLS)
		case "fd":
			ls, err = listenFD(h.Addr)
		}
		if err != nil {
			return all, fmt.Errorf("%s: %w", h, err)
		}
		for i, l := range ls {
			if h.ReadOnly {
				ls[i] = api.ReadOnly(l)
			}
		}
		all = append(all, ls...)
	}
	return all, nil
}

// unused says whether a socket may be replaced. A daemon that was killed while it
// started a program has left a child that has the socket until it executes: that one
// accepts nothing, but the kernel still lets clients connect.
func unused(path string) error {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred // of the process that listens: unix(7), SO_PEERCRED
	var peerErr error
	if err := raw.Control(func(fd uintptr) { peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if peerErr != nil {
		return peerErr
	}
	if ended(int(peer.Pid)) {
		return nil
	}
	return errors.New("another process is listening on this socket")
}

// ended says whether a process is not there any more, or waits for its parent only.
func ended(pid int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return errors.Is(err, unix.ESRCH)
	}
	defer unix.Close(fd)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

// listenUnix replaces the socket of a daemon that was killed, and leaves that of
// one that answers alone. Only root and the group may connect.
func listenUnix(path, group string) ([]net.Listener, error) {
	if err := unused(path); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return nil, err
	}
	gid, err := groupID(group)
	if err != nil {
		return nil, err
	}
	// Made without any right for others, so that there is no moment in which
	// they could connect.
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chown(path, 0, gid), os.Chmod(path, 0o660)); err != nil {
		l.Close()
		return nil, err
	}
	return []net.Listener{l}, nil
}

// groupID is root's when no group is named and the default one does not exist.
func groupID(name string) (int, error) {
	asked := name
	if name == "" {
		name = config.DefaultGroup
	}
	g, err := user.LookupGroup(name)
	var unknown user.UnknownGroupError
	switch {
	case errors.As(err, &unknown) && asked == "":
		return 0, nil
	case errors.As(err, &unknown):
		if id, err := strconv.Atoi(name); err == nil {
			return id, nil
		}
		return 0, fmt.Errorf("group %s not found", name)
	case err != nil:
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

func listenTCP(addr string, t *config.TLS) ([]net.Listener, error) {
	var tlsConfig *tls.Config
	if t != nil {
		var err error
		if tlsConfig, err = t.Server(); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if tlsConfig != nil {
		l = tls.NewListener(l, tlsConfig)
	}
	return []net.Listener{l}, nil
}

// listenFD takes sockets that systemd passed (sd_listen_fds(3)): all of them, the
// one of a number, or those of a name.
func listenFD(which string) ([]net.Listener, error) {
	byName, err := activation.ListenersWithNames()
	if err != nil {
		return nil, err
	}
	var all []net.Listener
	for name, ls := range byName {
		if which == "" || which == name {
			all = append(all, ls...)
		}
	}
	if n, err := strconv.Atoi(which); err == nil && len(all) == 0 {
		ls, err := activation.Listeners()
		if err != nil {
			return nil, err
		}
		if i := n - 3; i >= 0 && i < len(ls) && ls[i] != nil { // 3 is the first that is passed
			all = append(all, ls[i])
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no sockets were passed by the service manager")
	}
	return all, nil
}
