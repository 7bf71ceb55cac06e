package build

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	bkclient "github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	"golang.org/x/sync/errgroup"
)

// ask has the frontend answer a question about the Dockerfile instead of building.
func ask(ctx context.Context, dockerCLI command.Cli, client *bkclient.Client, call string, s *bkclient.SolveOpt, d *display) error {
	name, format, _ := strings.Cut(call, ",format=")
	request, ok := map[string]string{"check": "lint", "lint": "lint", "outline": "outline", "targets": "targets"}[name]
	if !ok {
		return fmt.Errorf("unknown method %q for --call: build, check, outline or targets", call)
	}
	attrs := s.FrontendAttrs
	attrs["requestid"] = "frontend." + request
	attrs["frontend.caps"] = "moby.buildkit.frontend.subrequests"
	frontend := s.Frontend
	s.Frontend, s.FrontendAttrs, s.Exports, s.CacheExports = "", nil, nil, nil
	status := make(chan *bkclient.SolveStatus)
	var group errgroup.Group
	var answer map[string][]byte
	group.Go(func() error {
		_, err := client.Build(ctx, *s, "berth", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
			res, err := c.Solve(ctx, gateway.SolveRequest{Frontend: frontend, FrontendOpt: attrs})
			if err == nil {
				answer = res.Metadata
			}
			return res, err
		}, status)
		return err
	})
	group.Go(func() error { return d.show(status) })
	if err := group.Wait(); err != nil {
		return explain(ctx, dockerCLI.Err(), err)
	}
	if request == "lint" {
		return findings(dockerCLI.Out(), answer, format)
	}
	return printAnswer(dockerCLI.Out(), answer, format)
}

func printAnswer(out io.Writer, answer map[string][]byte, format string) error {
	text := answer["result.txt"]
	if format == "json" {
		text = answer["result.json"]
	}
	_, err := fmt.Fprintln(out, strings.TrimRight(string(text), "\n"))
	return err
}

// findings prints what the check found; anything found is a failure.
func findings(out io.Writer, answer map[string][]byte, format string) error {
	var found lint.LintResults
	if err := json.Unmarshal(answer["result.json"], &found); err != nil {
		return fmt.Errorf("the check's answer: %w", err)
	}
	if format == "json" {
		if err := printAnswer(out, answer, format); err != nil {
			return err
		}
	} else if n := len(found.Warnings); n == 0 && found.Error == nil {
		_, err := fmt.Fprintln(out, "Check complete, no warnings found.")
		return err
	} else if err := printAnswer(out, answer, format); err != nil {
		return err
	}
	if found.Error != nil {
		return fmt.Errorf("%s", found.Error.Message)
	}
	if len(found.Warnings) > 0 {
		return cli.StatusError{StatusCode: 1, Status: fmt.Sprintf("Check complete, %d warnings have been found!", len(found.Warnings))}
	}
	return nil
}
