package build

import (
	"context"
	"fmt"
	"sync"
	"time"

	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/pb"
	bknetwork "github.com/moby/buildkit/util/network"
	"github.com/moby/moby/api/types/network"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func networkProviders(cfg Config) map[pb.NetMode]bknetwork.Provider {
	return map[pb.NetMode]bknetwork.Provider{
		pb.NetMode_UNSET: bridge{cfg.Networks},
		pb.NetMode_HOST:  bknetwork.NewHostProvider(),
		pb.NetMode_NONE:  bknetwork.NewNoneProvider(),
	}
}

// bridge gives each step a sandbox on the default network, as a container has.
type bridge struct{ networks Networks }

func (b bridge) New(ctx context.Context, _ string, _ bknetwork.NamespaceOptions) (bknetwork.Namespace, error) {
	id := "build-" + identity.NewID()
	key, _, _, err := b.networks.Setup(ctx, id, id, map[string]*network.EndpointSettings{network.NetworkBridge: {}}, nil)
	if err != nil {
		return nil, fmt.Errorf("network of a build step: %w", err)
	}
	s := &sandbox{key: key}
	s.close = sync.OnceValue(func() error {
		// A build that was cancelled is cleaned up after as well.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardown)
		defer cancel()
		return b.networks.Teardown(ctx, id)
	})
	return s, nil
}

func (bridge) Close() error { return nil }

// teardown bounds what is undone after a build ended.
const teardown = 30 * time.Second

// sandbox is a step's network namespace.
type sandbox struct {
	key   string
	close func() error
}

func (s *sandbox) Set(spec *specs.Spec) error {
	for i := range spec.Linux.Namespaces {
		if spec.Linux.Namespaces[i].Type == specs.NetworkNamespace {
			spec.Linux.Namespaces[i].Path = s.key
			return nil
		}
	}
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: s.key})
	return nil
}

func (s *sandbox) Sample() (*resourcestypes.NetworkSample, error) { return nil, nil }

func (s *sandbox) Close() error { return s.close() }
