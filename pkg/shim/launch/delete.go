package launch

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// What a shim leaves in its bundle, besides upstream's.
const (
	// SocketLink leads to the socket for streams, to be removed after a shim that was killed.
	SocketLink = "berth.sock"
	// DeletedMark says that the shim deleted the task completely. It spares the clean-up
	// its look for what is left, which costs as much as the delete did; without it, that
	// only takes longer.
	DeletedMark = "berth.deleted"
)

// exitStatus is upstream's record of a task's end (containerd
// cmd/containerd-shim-runc-v2/runc, ReadExitStatus).
const exitStatus = "exit.json"

type exit struct {
	Timestamp   time.Time
	Pid, Status int
}

// clean cleans up after the shim of container id and answers with how its task ended.
// containerd asks for it whenever a shim's connection ends: after each delete, and after a
// shim was killed. The working directory is the bundle, or another's beside it.
func clean(id string) (answer []byte, err error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	bundle := filepath.Join(filepath.Dir(cwd), id)
	socket, err := os.Readlink(filepath.Join(bundle, SocketLink))
	if err == nil {
		err = os.Remove(socket)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		_, _ = os.Stderr.WriteString("stream socket is left behind: " + err.Error())
	}
	if _, err := os.Stat(filepath.Join(bundle, DeletedMark)); err != nil {
		return nil, errUnusual
	}
	b, err := os.ReadFile(filepath.Join(bundle, exitStatus))
	if err != nil {
		return nil, errUnusual
	}
	var e exit
	if err := json.Unmarshal(b, &e); err != nil || e.Pid <= 0 || e.Status < 0 || e.Timestamp.IsZero() {
		return nil, errUnusual
	}
	return deleted(e), nil
}

// deleted is a DeleteResponse (containerd api/runtime/task/v3).
func deleted(e exit) []byte {
	const pid, status, at = 1, 2, 3
	const seconds, nanos = 1, 2 // of a Timestamp
	t := protowire.AppendTag(nil, seconds, protowire.VarintType)
	t = protowire.AppendVarint(t, uint64(e.Timestamp.Unix()))
	t = protowire.AppendTag(t, nanos, protowire.VarintType)
	t = protowire.AppendVarint(t, uint64(e.Timestamp.Nanosecond()))

	b := protowire.AppendTag(nil, pid, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(e.Pid))
	b = protowire.AppendTag(b, status, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(e.Status))
	b = protowire.AppendTag(b, at, protowire.BytesType)
	return protowire.AppendBytes(b, t)
}
