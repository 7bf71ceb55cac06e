package main

import (
	"cmp"

	api "github.com/moby/moby/api/types/system"
	"golang.org/x/net/http/httpproxy"

	"github.com/berth-engine/berth/pkg/config"
	"github.com/berth-engine/berth/pkg/system"
)

// addressPools are those of the configuration, for info.
func addressPools(cfg *config.Config) (pools []api.NetworkAddressPool) {
	for _, p := range cfg.AddressPools {
		pools = append(pools, api.NetworkAddressPool{Base: p.Base, Size: p.Size})
	}
	return pools
}

// proxies are those that registries are reached by.
func proxies(cfg *config.Config) system.Proxies {
	env := httpproxy.FromEnvironment()
	return system.Proxies{
		HTTP: cmp.Or(cfg.Proxies.HTTP, env.HTTPProxy), HTTPS: cmp.Or(cfg.Proxies.HTTPS, env.HTTPSProxy), No: cmp.Or(cfg.Proxies.No, env.NoProxy),
	}
}

// plain are the addresses where the API is reached without a certificate.
func plain(cfg *config.Config) (addresses []string) {
	for _, h := range cfg.Hosts {
		if h.Proto == "tcp" && cfg.TLS == nil {
			addresses = append(addresses, h.Addr)
		}
	}
	return addresses
}
