package launch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxParams bounds what containerd says of a start, in bytes, as upstream does.
const maxParams = 10 << 20

// socketDirLink is where upstream's shim looks for the folder of its socket when it ends.
const socketDirLink = "s"

// start starts the shim of a task in the bundle that is the working directory, with its
// socket as descriptor 3, and answers with that socket's address.
//
// There is one shim for each container, whatever its annotations say of groups: each has
// its own streams and log.
func start(a action, self string, input []byte) (answer []byte, err error) {
	p, err := parseParams(input)
	if err != nil {
		return nil, err
	}
	if p.socketDir == "" || p.shimCgroup || os.Getenv("SCHED_CORE") != "" {
		return nil, errUnusual
	}
	socket := socketPath(p.socketDir, p.address, a.namespace, a.id)
	listener, err := listen(socket)
	if err != nil {
		return nil, errUnusual // there is one, of a shim that lives or does not
	}
	defer listener.Close()
	pid, err := spawn(a, self, p.address, listener)
	if err != nil {
		_ = os.Remove(socket)
		return nil, err
	}
	err = linkSocketDir(p.socketDir)
	if err == nil {
		err = adjustScore(pid)
	}
	if err != nil {
		_ = unix.Kill(pid, unix.SIGKILL)
		_ = os.Remove(socket)
		return nil, err
	}
	return result("unix://" + socket), nil
}

// params is what of the bootstrap parameters matters here.
type params struct {
	address, socketDir string
	shimCgroup         bool
}

// Numbers of fields: of BootstrapParams, Extension, Any and the runc options
// (containerd api/runtime/bootstrap/v1, api/types/runc/options).
const (
	paramsAddress, paramsExtension, paramsSocketDir = 6, 8, 9
	extensionValue                                  = 1
	anyValue                                        = 2
	optionsShimCgroup                               = 3
)

func parseParams(b []byte) (p params, err error) {
	err = fields(b, func(n protowire.Number, v []byte) error {
		switch n {
		case paramsAddress:
			p.address = string(v)
		case paramsSocketDir:
			p.socketDir = string(v)
		case paramsExtension: // options of the runtime; there are no others
			return fields(v, within(extensionValue, within(anyValue, func(n protowire.Number, v []byte) error {
				p.shimCgroup = p.shimCgroup || n == optionsShimCgroup && len(v) > 0
				return nil
			})))
		}
		return nil
	})
	return p, err
}

// within passes the fields of the message that is field n.
func within(n protowire.Number, each func(protowire.Number, []byte) error) func(protowire.Number, []byte) error {
	return func(got protowire.Number, v []byte) error {
		if got != n {
			return nil
		}
		return fields(v, each)
	}
}

var errMessage = errors.New("what containerd says of the start is not understood")

// fields calls each for each field of bytes in a message of protobuf.
func fields(b []byte, each func(n protowire.Number, v []byte) error) error {
	for len(b) > 0 {
		n, typ, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return errMessage
		}
		b = b[tag:]
		length := protowire.ConsumeFieldValue(n, typ, b)
		if length < 0 {
			return errMessage
		}
		if v, bytes := protowire.ConsumeBytes(b); typ == protowire.BytesType && bytes == length {
			if err := each(n, v); err != nil {
				return err
			}
		}
		b = b[length:]
	}
	return nil
}

// result is a BootstrapResult of a shim at address, with an extension for the kinds of
// mounts that it makes itself. It is empty, and saves containerd from executing the shim
// once more, with -info, to ask.
func result(address string) []byte {
	const version, addressField, protocol, extension = 1, 2, 3, 6
	capabilities := protowire.AppendTag(nil, 1, protowire.BytesType) // Any.type_url
	capabilities = protowire.AppendString(capabilities, "type.googleapis.com/containerd.types.MountCapabilities")
	value := protowire.AppendTag(nil, extensionValue, protowire.BytesType)
	value = protowire.AppendBytes(value, capabilities)

	b := protowire.AppendTag(nil, version, protowire.VarintType)
	b = protowire.AppendVarint(b, 3)
	b = protowire.AppendTag(b, addressField, protowire.BytesType)
	b = protowire.AppendString(b, address)
	b = protowire.AppendTag(b, protocol, protowire.BytesType)
	b = protowire.AppendString(b, "ttrpc")
	b = protowire.AppendTag(b, extension, protowire.BytesType)
	return protowire.AppendBytes(b, value)
}

// socketPath is where upstream's shim removes its socket from when it ends
// (containerd pkg/shim, CreateSocketAddress).
func socketPath(dir, address, namespace, id string) string {
	sum := sha256.Sum256([]byte(filepath.Join(address, namespace, id)))
	return filepath.Join(dir, hex.EncodeToString(sum[:]))
}

// listen makes a socket that only root may connect to.
func listen(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	err = os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil { // before it has a name, so that nobody else can connect in between
		err = unix.Fchmod(fd, 0o600)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err == nil {
		err = unix.Listen(fd, unix.SOMAXCONN)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// spawn starts the shim. It is called by the name of this program, which is what people
// look for in a list of processes.
func spawn(a action, self, address string, listener *os.File) (pid int, err error) {
	program, err := sibling(Program)
	if err != nil {
		return 0, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	args := []string{self, "-namespace", a.namespace, "-id", a.id, "-address", address}
	if a.debug {
		args = append(args, "-debug")
	}
	return syscall.ForkExec(program, args, &syscall.ProcAttr{
		Env:   append(os.Environ(), "OTEL_SERVICE_NAME=containerd-shim-"+a.id),
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), listener.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
}

// linkSocketDir leaves the folder of the socket where the shim looks for it.
func linkSocketDir(dir string) error {
	if err := os.Remove(socketDirLink); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(dir, socketDirLink)
}

// adjustScore has the kernel prefer the shim by one to containerd, its parent's, when
// memory is short (proc_pid_oom_score_adj(5)).
func adjustScore(pid int) error {
	const limit = 1000
	b, err := os.ReadFile("/proc/" + strconv.Itoa(os.Getppid()) + "/oom_score_adj")
	if err != nil {
		return err
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return err
	}
	return os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte(strconv.Itoa(min(score+1, limit))), 0)
}
