package classic

import (
	"context"
	"encoding/base64"
	"strings"

	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/moby/api/types/registry"
	"google.golang.org/grpc"
)

// credentials hands BuildKit those that the client sent with its request.
type credentials struct {
	auth.UnimplementedAuthServer
	auth map[string]registry.AuthConfig
}

// Register is for the session.
func (c credentials) Register(s *grpc.Server) { auth.RegisterAuthServer(s, c) }

// hub is the key of Docker Hub's credentials, for historical reasons.
const hub = "https://index.docker.io/v1/"

// Credentials answers for one registry; empty is anonymous.
func (c credentials) Credentials(_ context.Context, req *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	keys := []string{req.Host, "https://" + req.Host, "http://" + req.Host}
	if req.Host == "registry-1.docker.io" || req.Host == "docker.io" {
		keys = []string{hub, "docker.io", "index.docker.io"}
	}
	for _, key := range keys {
		if a, ok := c.auth[key]; ok {
			return answer(a), nil
		}
	}
	return &auth.CredentialsResponse{}, nil
}

func answer(a registry.AuthConfig) *auth.CredentialsResponse {
	switch {
	case a.IdentityToken != "":
		return &auth.CredentialsResponse{Secret: a.IdentityToken}
	case a.Username == "" && a.Auth != "":
		if raw, err := base64.StdEncoding.DecodeString(a.Auth); err == nil {
			user, secret, _ := strings.Cut(string(raw), ":")
			return &auth.CredentialsResponse{Username: user, Secret: strings.TrimRight(secret, "\x00")}
		}
	}
	return &auth.CredentialsResponse{Username: a.Username, Secret: a.Password}
}

// HostGatewayLabel of the worker has the host's address as steps see it; buildx
// reads it, too.
const HostGatewayLabel = "org.mobyproject.buildkit.worker.moby.host-gateway-ip"

func hostGateway(ctx context.Context, client *bkclient.Client) string {
	workers, err := client.ListWorkers(ctx)
	if err != nil {
		return "" // the build will say why
	}
	for _, w := range workers {
		if ip := w.Labels[HostGatewayLabel]; ip != "" {
			return ip
		}
	}
	return ""
}
