package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

func open(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// records are all containers as a map.
func records(t *testing.T, db *DB) map[string]string {
	t.Helper()
	all, err := db.Containers()
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, c := range all {
		m[c.ID] = string(c.Record)
	}
	return m
}

func TestContainers(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "new", "berth.db"))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(db.CreateContainer("a", "web", []byte("1")))
	must(db.CreateContainer("b", "db", []byte("1")))
	err := db.CreateContainer("c", "web", []byte("1"))
	want := `Conflict. The container name "/web" is already in use by container "a". You have to remove (or rename) that container to be able to reuse that name.`
	if !errdefs.IsAlreadyExists(err) || err.Error() != want {
		t.Errorf("a taken name: %v", err)
	}
	if err := db.CreateContainer("a", "other", nil); !errdefs.IsAlreadyExists(err) {
		t.Errorf("a taken ID: %v", err)
	}
	if err := db.RenameContainer("b", "db", "web", []byte("2")); !errdefs.IsAlreadyExists(err) {
		t.Errorf("rename to a taken name: %v", err)
	}
	if err := db.RenameContainer("c", "c", "cc", nil); !errdefs.IsNotFound(err) {
		t.Errorf("rename of no container: %v", err)
	}
	must(db.RenameContainer("a", "web", "front", []byte("2")))
	must(db.RenameContainer("a", "front", "front", []byte("3")))
	must(db.RenameContainer("b", "front", "back", []byte("2"))) // not its name: it stays a's
	if err := db.CreateContainer("c", "front", nil); !errdefs.IsAlreadyExists(err) {
		t.Errorf("another's name was given up: %v", err)
	}
	must(db.CreateContainer("c", "web", []byte("1")))
	must(db.DeleteContainer("c"))
	must(db.DeleteContainer("c"))
	must(db.DeleteContainer("b")) // with both of its names
	must(db.CreateContainer("d", "db", []byte("1")))
	must(db.CreateContainer("e", "back", []byte("1")))
	if err := db.PutContainer("b", []byte("late")); !errdefs.IsNotFound(err) || err.Error() != "No such container: b" {
		t.Errorf("a late write: %v", err)
	}
	must(db.PutContainers(map[string][]byte{"a": []byte("4"), "b": []byte("late"), "d": []byte("2")}))
	must(db.PutContainers(nil))
	if got := fmt.Sprint(records(t, db)); got != "map[a:4 d:2 e:1]" {
		t.Error(got)
	}
}

func TestBucket(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "berth.db"))
	b := db.Bucket("networks")
	if all, err := b.All(); err != nil || len(all) != 0 {
		t.Errorf("empty: %v, %v", all, err)
	}
	if _, err := b.Get("x"); !errdefs.IsNotFound(err) {
		t.Errorf("empty: %v", err)
	}
	if err := errors.Join(b.Delete("x"), b.Put("x", []byte("1")), b.Put("y", []byte("2")), b.Delete("y"),
		db.Bucket("volumes").Put("x", []byte("3"))); err != nil {
		t.Fatal(err)
	}
	if v, err := b.Get("x"); err != nil || string(v) != "1" {
		t.Errorf("%q, %v", v, err)
	}
	if all, err := b.All(); err != nil || len(all) != 1 || string(all["x"]) != "1" {
		t.Errorf("%v, %v", all, err)
	}
}

func TestClosed(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "berth.db"))
	if err := errors.Join(db.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateContainer("a", "a", nil); !errdefs.IsUnavailable(err) {
		t.Errorf("write: %v", err)
	}
	if _, err := db.Containers(); !errdefs.IsUnavailable(err) {
		t.Errorf("read: %v", err)
	}
}

// Many writers at once: each has its own outcome, and the conflict of one does
// not touch the others of its commit.
func TestConcurrent(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "berth.db"))
	const writers, names = 64, 16
	outcome := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			outcome[i] = db.CreateContainer(fmt.Sprint("id", i), fmt.Sprint("name", i%names), []byte("x"))
		})
	}
	wg.Wait()
	made := 0
	for i, err := range outcome {
		switch {
		case err == nil:
			made++
		case !errdefs.IsAlreadyExists(err):
			t.Errorf("writer %d: %v", i, err)
		}
	}
	if stored := len(records(t, db)); made != names || stored != names {
		t.Errorf("%d made, %d stored", made, stored)
	}
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	open(t, path)
	_, err := Open(path)
	want := fmt.Sprintf("another berthd (pid %d) is using %s: ", os.Getpid(), filepath.Dir(path))
	if !errdefs.IsUnavailable(err) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

func TestParseLocks(t *testing.T) {
	const locks = `1: POSIX  ADVISORY  WRITE 10 fd:01:55 0 EOF
2: FLOCK  ADVISORY  WRITE 11 fd:01:56 0 EOF
3: FLOCK  ADVISORY  WRITE 12 fd:01:55 0 EOF
3: -> FLOCK  ADVISORY  WRITE 13 fd:01:55 0 EOF
4: FLOCK  ADVISORY  WRITE 0 fd:01:57 0 EOF
garbage
`
	for file, want := range map[string]int{"fd:01:55": 12, "fd:01:56": 11, "fd:01:57": 0, "00:00:0": 0} {
		if got := parseLocks([]byte(locks), file); got != want {
			t.Errorf("%s: %d", file, got)
		}
	}
}

func FuzzParseLocks(f *testing.F) {
	f.Add([]byte("3: FLOCK  ADVISORY  WRITE 12 fd:01:55 0 EOF\n"), "fd:01:55")
	f.Fuzz(func(t *testing.T, locks []byte, file string) {
		if pid := parseLocks(locks, file); pid < 0 {
			t.Error(pid)
		}
	})
}

func TestForeignFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database"), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	b, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var ran []string
	step := func(name string, fail error) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			ran = append(ran, name)
			_, err := tx.CreateBucket([]byte(name)) // a second run would fail
			return errors.Join(err, fail)
		}
	}
	broken := errors.New("broken")
	for _, c := range []struct {
		steps  []func(*bolt.Tx) error
		ran    string
		schema uint64
		is     error
	}{
		{[]func(*bolt.Tx) error{step("one", nil)}, "[one]", 1, nil},
		{[]func(*bolt.Tx) error{step("one", nil)}, "[]", 1, nil},
		{[]func(*bolt.Tx) error{step("one", nil), step("two", nil), step("three", broken)}, "[two three]", 2, broken},
		{[]func(*bolt.Tx) error{step("one", nil), step("two", nil), step("three", nil)}, "[three]", 3, nil},
		{[]func(*bolt.Tx) error{step("one", nil)}, "[]", 3, errdefs.ErrFailedPrecondition},
	} {
		ran = nil
		err := migrate(b, c.steps)
		if !errors.Is(err, c.is) || fmt.Sprint(ran) != c.ran {
			t.Errorf("%d steps: ran %v: %v", len(c.steps), ran, err)
		}
		if at, err := schema(b); err != nil || at != c.schema {
			t.Errorf("%d steps: schema %d, %v", len(c.steps), at, err)
		}
	}
}

// crashEnv is the path of a store that the test binary writes to until it is
// killed; it prints each number that it knows to be stored.
const crashEnv = "BERTH_STORE_TEST_CRASH"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		fmt.Fprintln(os.Stderr, writeForever(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func writeForever(path string) error {
	db, err := Open(path)
	if err != nil {
		return err
	}
	have, err := db.Containers()
	if err != nil {
		return err
	}
	for n := len(have); ; n++ {
		id := fmt.Sprintf("%08d", n)
		if err := db.CreateContainer(id, "name"+id, bytes.Repeat([]byte(id), 100)); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// kill -9 at any instant: what was acknowledged is there, whole, with its name,
// and the store opens at once.
func TestCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	acknowledged := -1
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 10+7*round && lines.Scan(); n++ {
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
		}
		if _, err := fmt.Sscan(lines.Text(), &acknowledged); err != nil && lines.Text() != "" {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		checkCrashed(t, path, acknowledged)
	}
}

func checkCrashed(t *testing.T, path string, acknowledged int) {
	t.Helper()
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := records(t, db)
	if len(all) <= acknowledged {
		t.Errorf("%d of %d are there", len(all), acknowledged+1)
	}
	for n := range len(all) {
		id := fmt.Sprintf("%08d", n)
		if all[id] != strings.Repeat(id, 100) {
			t.Errorf("record %s is %q", id, all[id])
		}
		if err := db.CreateContainer("other", "name"+id, nil); !errdefs.IsAlreadyExists(err) {
			t.Fatalf("name of %s: %v", id, err)
		}
	}
}

func BenchmarkCreateContainer(b *testing.B) {
	db, err := Open(filepath.Join(b.TempDir(), "berth.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for i := 0; b.Loop(); i++ {
		id := fmt.Sprint(i)
		if err := db.CreateContainer(id, id, make([]byte, 4096)); err != nil {
			b.Fatal(err)
		}
	}
}
