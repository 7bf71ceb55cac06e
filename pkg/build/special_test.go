package build

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sys/unix"
)

func TestCheckUsers(t *testing.T) {
	root := t.TempDir()
	if err := checkUsers(root); err != nil {
		t.Errorf("no files: %v", err)
	}
	// A link is followed as in a container: this one leads to /other of the root.
	if err := errors.Join(os.Mkdir(filepath.Join(root, "other"), 0o755), os.Symlink("/other", filepath.Join(root, "etc")),
		os.WriteFile(filepath.Join(root, "other", "passwd"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := checkUsers(root); err != nil {
		t.Errorf("a file: %v", err)
	}
	if err := unix.Mkfifo(filepath.Join(root, "other", "group"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkUsers(root); err == nil || err.Error() != "/etc/group is not a regular file" {
		t.Errorf("a FIFO: %v", err)
	}
}

func TestCheckFiles(t *testing.T) {
	root := t.TempDir()
	if err := checkFiles(root, "/out"); err != nil {
		t.Errorf("no folder: %v", err)
	}
	out := filepath.Join(root, "out")
	if err := errors.Join(os.Mkdir(out, 0o755), os.WriteFile(filepath.Join(out, "a.json"), nil, 0o600), os.Mkdir(filepath.Join(out, "folder"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := checkFiles(root, "/out"); err != nil {
		t.Errorf("a file and a folder: %v", err)
	}
	// As seen from the folder.
	if err := errors.Join(unix.Mkfifo(filepath.Join(out, "folder", "fifo"), 0o600), os.Symlink("/folder/fifo", filepath.Join(out, "link"))); err != nil {
		t.Fatal(err)
	}
	if err := checkFiles(root, "/out"); err == nil || err.Error() != "/link is not a regular file" {
		t.Errorf("a link to a FIFO: %v", err)
	}
}

func TestLookedUp(t *testing.T) {
	byID := &pb.UserOpt{User: &pb.UserOpt_ByID{ByID: 7}}
	byName := func(input int64) *pb.UserOpt {
		return &pb.UserOpt{User: &pb.UserOpt_ByName{ByName: &pb.NamedUserOpt{Name: "x", Input: input}}}
	}
	op := &pb.FileOp{Actions: []*pb.FileAction{
		{Action: &pb.FileAction_Copy{Copy: &pb.FileActionCopy{Owner: &pb.ChownOpt{User: byID, Group: byName(1)}}}},
		{Action: &pb.FileAction_Mkfile{Mkfile: &pb.FileActionMkFile{Owner: &pb.ChownOpt{User: byName(2)}}}},
		{Action: &pb.FileAction_Mkdir{Mkdir: &pb.FileActionMkDir{Owner: &pb.ChownOpt{User: byID}}}},
		{Action: &pb.FileAction_Rm{Rm: &pb.FileActionRm{}}},
	}}
	if got := lookedUp(op); len(got) != 2 || !got[1] || !got[2] {
		t.Errorf("inputs %v", got)
	}
	if got := lookedUp(nil); len(got) != 0 {
		t.Errorf("of no operation: %v", got)
	}
}
