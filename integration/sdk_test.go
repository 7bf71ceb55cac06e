package integration

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	"github.com/berth-engine/berth/pkg/version"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// TestSDK drives the daemon by the Go client that programs use, in versions
// that it was told and in the one that it negotiates.
func TestSDK(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for _, spoken := range []string{"1.40", "1.44", version.MaxAPI, ""} {
		t.Run("v"+spoken, func(t *testing.T) {
			options := []client.Opt{client.WithHost("unix://" + d.Socket)}
			if spoken != "" {
				options = append(options, client.WithAPIVersion(spoken))
			}
			c, err := client.New(options...)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
			defer cancel()
			ping, err := c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: spoken == ""})
			if err != nil || ping.APIVersion != version.MaxAPI {
				t.Fatalf("ping: %+v, %v", ping, err)
			}
			sdkRun(ctx, t, c)
		})
	}
}

// sdkRun attaches, starts, waits, reads the log and hears of it all.
func sdkRun(ctx context.Context, t *testing.T, c *client.Client) {
	t.Helper()
	listening, hangUp := context.WithCancel(ctx)
	defer hangUp()
	heard := c.Events(listening, client.EventsListOptions{Filters: client.Filters{}.Add("type", "container")})
	made, err := c.ContainerCreate(ctx, client.ContainerCreateOptions{Config: &container.Config{
		Image: image, Cmd: []string{"sh", "-c", "cat; echo done >&2; exit 6"}, AttachStdin: true, AttachStdout: true, AttachStderr: true, OpenStdin: true, StdinOnce: true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	attached, err := c.ContainerAttach(ctx, made.ID, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	end := c.ContainerWait(ctx, made.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := c.ContainerStart(ctx, made.ID, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(attached.Conn, "typed\n"); err != nil {
		t.Fatal(err)
	}
	if err := attached.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	streams(t, attached.Reader, "typed\n", "done\n")
	select {
	case err := <-end.Error:
		t.Fatal(err)
	case got := <-end.Result:
		if got.StatusCode != 6 {
			t.Errorf("wait says %+v", got)
		}
	}
	log, err := c.ContainerLogs(ctx, made.ID, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	streams(t, log, "typed\n", "done\n")
	if _, err := c.ContainerRemove(ctx, made.ID, client.ContainerRemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for len(seen) == 0 || seen[len(seen)-1] != string(events.ActionDestroy) {
		select {
		case m := <-heard.Messages:
			if m.Actor.ID == made.ID {
				seen = append(seen, string(m.Action))
			}
		case err := <-heard.Err:
			t.Fatalf("events after %q: %v", seen, err)
		}
	}
	if got := strings.Join(seen, " "); got != "create attach start die destroy" {
		t.Errorf("events %q", got)
	}
}

// streams takes both streams apart.
func streams(t *testing.T, r io.Reader, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	if _, failed := stdcopy.StdCopy(&out, &err, r); failed != nil {
		t.Fatal(failed)
	}
	if out.String() != stdout || err.String() != stderr {
		t.Errorf("stdout %q, stderr %q; want %q, %q", out.String(), err.String(), stdout, stderr)
	}
}
