package top

import (
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		options string
		want    []string // nil: refused
	}{
		{"", []string{"-ef"}},
		{"-o pid,comm", []string{"-o", "pid,comm"}},
		{"-o pid=PID", []string{"-o", "pid=PID"}},
		{"aux -o ppid=PID", nil},
		{"-o user= PIDX", nil},
		{"-o \x00", nil},
	} {
		got, err := Options(c.options)
		if !slices.Equal(got, c.want) || (c.want == nil) != errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %q, %v", c.options, got, err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, output string
		want         [][]string // nil: an error
	}{
		{"no output", "", nil},
		{"no PID", "USER COMMAND\nroot sh", nil},
		{"PID is none", "PID CMD\nx sh", nil},
		{"others are left out", "UID  PID CMD\nroot  1 init\nroot  7 sleep 10 \nroot  8 x\n", [][]string{{"root", "7", "sleep 10"}, {"root", "8", "x"}}},
		{"threads follow", "PID LWP CMD\n1 - init\n- 1 -\n7 - sh -c x\n- 7 -\n", [][]string{{"7", "-", "sh -c x"}, {"-", "7", "-"}}},
		{"no-break space is no space", "PID CMD\n7 a\u00a0b\n", [][]string{{"7", "a\u00a0b"}}},
		{"short line", "PID TTY CMD\n7\n", [][]string{{"7"}}},
		{"nobody", "PID CMD\n", [][]string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parse(c.output, []int{7, 8})
			if (err != nil) != (c.want == nil) || !reflect.DeepEqual(got.Processes, c.want) {
				t.Errorf("%q, %v", got.Processes, err)
			}
		})
	}
}

func TestList(t *testing.T) {
	self := os.Getpid()
	for _, options := range []string{"-ef", "axf", "-o pid,comm", "aux"} {
		list, err := List(t.Context(), strings.Split(options, " "), []int{self})
		if err != nil || len(list.Processes) != 1 || !slices.Contains(list.Processes[0], strconv.Itoa(self)) {
			t.Errorf("%s: %q, %v", options, list, err)
		}
	}
	if _, err := List(t.Context(), []string{"-z"}, []int{self}); err == nil || !strings.Contains(err.Error(), "error:") {
		t.Errorf("ps's own words are %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("PID CMD\n7 x\n- y\n")
	f.Add("CMD PID\nx 7\n -")
	f.Fuzz(func(t *testing.T, out string) {
		list, err := parse(out, []int{7})
		if err != nil {
			return
		}
		for _, p := range list.Processes {
			if len(p) > len(list.Titles) {
				t.Errorf("%d fields, %d titles", len(p), len(list.Titles))
			}
		}
	})
}
