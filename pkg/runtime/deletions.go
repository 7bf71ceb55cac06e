package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// finishDeletions removes what an embedded containerd that was killed had begun
// to remove. It deletes a task's folder by renaming ID to .ID first. Where an old
// .ID stands in the way, the folder of the same container's next task could never
// be deleted, and hence no third one made (core/runtime/v2, atomicDelete and
// NewBundle). It does so for every namespace, since other daemons may have theirs in
// this containerd. It must run before containerd does.
func finishDeletions(c Config) error {
	var errs error
	for _, dir := range []string{filepath.Dir(bundleDir(c)), filepath.Dir(workDir(c))} {
		namespaces, err := os.ReadDir(dir)
		errs = errors.Join(errs, ignore(err, os.IsNotExist))
		for _, ns := range namespaces {
			if !ns.IsDir() {
				continue
			}
			errs = errors.Join(errs, finishDeletionsIn(filepath.Join(dir, ns.Name())))
		}
	}
	return errs
}

func finishDeletionsIn(dir string) (errs error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return ignore(err, os.IsNotExist)
	}
	for _, e := range all {
		if strings.HasPrefix(e.Name(), ".") {
			errs = errors.Join(errs, os.RemoveAll(filepath.Join(dir, e.Name()))) // its mounts went before its name
		}
	}
	return errs
}
