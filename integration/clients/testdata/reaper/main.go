// Command reaper stands in for Ryuk, testcontainers' reaper, which is an image of a public
// registry. It speaks its protocol: clients say by filters what is theirs, a line each, and
// are told ACK; once the last of them is gone, and does not come back, all of it goes.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/moby/moby/client"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "reaper:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	again, err := time.ParseDuration(cmp.Or(os.Getenv("RYUK_RECONNECTION_TIMEOUT"), "10s"))
	if err != nil {
		return err
	}
	docker, err := client.New(client.WithHost("unix:///var/run/docker.sock"))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", ":8080")
	if err != nil {
		return err
	}
	fmt.Println("Started")
	said, change := make(chan string), make(chan int)
	go accept(l, said, change)
	filters, clients := map[string]bool{}, 0
	over := time.NewTimer(time.Minute) // until the first one comes
	for {
		select {
		case line := <-said:
			filters[line] = true
		case n := <-change:
			if clients += n; clients > 0 {
				over.Stop()
			} else {
				over.Reset(again)
			}
		case <-over.C:
			return reap(ctx, docker, filters)
		}
	}
}

func accept(l net.Listener, said chan<- string, change chan<- int) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		change <- 1
		go func() {
			defer func() { c.Close(); change <- -1 }()
			for lines := bufio.NewScanner(c); lines.Scan(); {
				said <- lines.Text()
				if _, err := c.Write([]byte("ACK\n")); err != nil {
					return
				}
			}
		}()
	}
}

// reap removes what any of the filters selects.
func reap(ctx context.Context, docker *client.Client, said map[string]bool) (err error) {
	note := func(e error) { err = errors.Join(err, e) }
	for line := range said {
		values, e := url.ParseQuery(line)
		if e != nil {
			return e
		}
		filters := client.Filters{}
		for key, all := range values {
			filters.Add(key, all...)
		}
		containers, e := docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
		note(e)
		for _, c := range containers.Items {
			_, e := docker.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			note(e)
		}
		networks, e := docker.NetworkList(ctx, client.NetworkListOptions{Filters: filters})
		note(e)
		for _, n := range networks.Items {
			_, e := docker.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
			note(e)
		}
		volumes, e := docker.VolumeList(ctx, client.VolumeListOptions{Filters: filters})
		note(e)
		for _, v := range volumes.Items {
			_, e := docker.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{Force: true})
			note(e)
		}
		images, e := docker.ImageList(ctx, client.ImageListOptions{Filters: filters})
		note(e)
		for _, i := range images.Items {
			_, e := docker.ImageRemove(ctx, i.ID, client.ImageRemoveOptions{Force: true, PruneChildren: true})
			note(e)
		}
	}
	return err
}
