# Berth. `make help` lists what can be asked for.

VERSION ?= 0.1.0-dev
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
# The commit's date, so that the same sources give the same binaries.
BUILT   ?= $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || echo unknown)

PREFIX  ?= /usr/local
DESTDIR ?=

GO ?= go
BIN := bin
BINARIES := berth berth-all berthd berth-init berth-cni
SHIM     := containerd-shim-berth-v2 containerd-shim-berth-task

# One set of build flags for binaries, tests and the linter: they share every
# compiled package, which is most of the time on a machine without caches. Only
# runc needs C, for what it does before Go's runtime starts.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath
export GOTOOLCHAIN := local

P := github.com/berth-engine/berth/pkg/version
LDFLAGS := -s -w -X $(P).Version=$(VERSION) -X $(P).Commit=$(COMMIT) -X $(P).Built=$(BUILT)
# BuildKit does not find out by itself; buildx shows it.
LDFLAGS += -X github.com/moby/buildkit/version.Version=$(shell awk '$$1 == "github.com/moby/buildkit" {print $$2}' go.mod)

LINT := $(BIN)/tools/golangci-lint

.DEFAULT_GOAL := help

.PHONY: help
help: ## show this list
	@echo "Berth: a container engine that speaks Docker and is made of containerd."
	@echo
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "New here? make demo shows the engine at work; make test runs all that is tested."

.PHONY: demo
demo: ## install what is missing, build, and show containers at work (root)
	@hack/deps build demo
	@$(MAKE) --no-print-directory build $(BIN)/sampleimage
	@hack/demo

.PHONY: build
build: need-go binaries $(BIN)/runc cni ## all binaries into bin/

.PHONY: binaries
binaries:
	@mkdir -p $(BIN)
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ $(addprefix ./cmd/,$(BINARIES))
	@# One of these is resident per container: grpc, which no shim speaks, is 6 MB of it.
	$(GO) build -tags no_grpc -ldflags '$(LDFLAGS)' -o $(BIN)/ $(addprefix ./cmd/,$(SHIM))

# runc comes from the module cache at the version in go.mod, and changes with it.
# Its filters of system calls are compiled by ours instead of libseccomp, whose
# header it still asks for: docs/seccomp.md. Without shared libraries it runs on
# any distribution.
SECCOMP := third_party/libseccomp-golang
$(BIN)/runc: go.mod $(wildcard $(SECCOMP)/*.go $(SECCOMP)/cgo/*)
	@mkdir -p $(BIN)
	PKG_CONFIG_PATH=$(CURDIR)/$(SECCOMP)/cgo CGO_ENABLED=1 $(GO) build -tags 'seccomp netgo osusergo urfave_cli_no_docs' -ldflags '-s -w -linkmode external -extldflags -static' -o $@ github.com/opencontainers/runc

# Plugins of networks that berthd executes: upstream's at the version in go.mod,
# and ours for other runtimes, by the names that choose them.
CNI_UPSTREAM := macvlan ipvlan
CNI_OURS     := berth-bridge berth-firewall berth-ports berth-ipam berth-host berth-none
.PHONY: cni
cni: binaries
	@mkdir -p $(BIN)/cni
	$(GO) build -ldflags '-s -w' -o $(BIN)/cni/ $(addprefix github.com/containernetworking/plugins/plugins/main/,$(CNI_UPSTREAM))
	@cd $(BIN)/cni && for name in $(CNI_OURS); do ln -sf ../berth-cni $$name; done

.PHONY: $(BIN)/sampleimage
$(BIN)/sampleimage:
	@mkdir -p $(BIN)
	$(GO) build -ldflags '-s -w' -o $@ ./hack/sampleimage

.PHONY: test
test: ## everything: lint, check and integration (root; installs what is missing)
	@hack/deps build test
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory integration

.PHONY: check
check: need-go $(BIN)/runc ## format, vet and the tests of each package, minutes at most (root)
	@unformatted=$$(gofmt -l cmd pkg hack third_party $(wildcard integration)); \
	  test -z "$$unformatted" || { echo "not formatted (gofmt -w): $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) test ./pkg/... ./cmd/... ./hack/...
	@# A module of its own; the second time with libseccomp to compare with.
	cd $(SECCOMP) && $(GO) vet ./... && $(GO) test ./...
	cd $(SECCOMP) && CGO_ENABLED=1 $(GO) test -tags libseccomp_reference ./...

# berthd that kills itself where BERTH_FAULT says, for the tests of recovery.
.PHONY: $(BIN)/berthd-faults
$(BIN)/berthd-faults:
	@mkdir -p $(BIN)
	$(GO) build -tags faultpoints -ldflags '$(LDFLAGS)' -o $@ ./cmd/berthd

# Docker's own clients, as users have them, for the tests: built from source by the Go
# proxy, each with the requirements and checksums of its own module and no part of ours.
BUILDX     := v0.33.0
COMPOSE    := v5.5.1
COMPOSE_V2 := v2.40.3
DOCKER     := v29.7.2+incompatible
DOCKER_28  := v28.5.2+incompatible
CLIENTS    := $(addprefix $(BIN)/clients/,docker-buildx docker-compose docker-compose-v2 docker docker-28)
$(BIN)/clients/docker-buildx: CLIENT = github.com/docker/buildx $(BUILDX) ./cmd/buildx github.com/docker/buildx/version.Version
$(BIN)/clients/docker-compose: CLIENT = github.com/docker/compose/v5 $(COMPOSE) ./cmd github.com/docker/compose/v5/internal.Version
$(BIN)/clients/docker-compose-v2: CLIENT = github.com/docker/compose/v2 $(COMPOSE_V2) ./cmd github.com/docker/compose/v2/internal.Version
$(BIN)/clients/docker: CLIENT = github.com/docker/cli $(DOCKER) ./cmd/docker github.com/docker/cli/cli/version.Version
$(BIN)/clients/docker-28: CLIENT = github.com/docker/cli $(DOCKER_28) ./cmd/docker github.com/docker/cli/cli/version.Version
$(CLIENTS): Makefile hack/client
	@hack/client $@ $(CLIENT)

# CRIU that knows the kernel of today, for the tests of checkpoints.
$(BIN)/tools/criu/criu: hack/criu
	hack/criu $(@D)

# Debian, which some tests install, build and run services on.
$(BIN)/debian.tar: hack/debian
	@mkdir -p $(@D)
	@hack/debian $@

INTEGRATION_NEEDS := dist arm64 $(BIN)/sampleimage $(BIN)/berthd-faults $(BIN)/tools/criu/criu $(BIN)/debian.tar $(CLIENTS)
INTEGRATION := -count=1 -timeout 55m ./integration/...
.PHONY: integration
integration: $(INTEGRATION_NEEDS) ## through the real socket, with real clients and containers (root)
	$(GO) test $(INTEGRATION)

.PHONY: compatibility
compatibility: $(INTEGRATION_NEEDS) ## the same, its figures into docs/compatibility.md (root)
	$(GO) build -o $(BIN)/compatibility ./hack/compatibility
	$(GO) test -json $(INTEGRATION) | $(BIN)/compatibility -write docs/compatibility.md -commit $(shell git describe --always --dirty --abbrev=12 --exclude='*')

.PHONY: lint
lint: need-go $(LINT) ## golangci-lint; .golangci.yml says why each rule is there
	$(LINT) run ./...

# Built from source by the Go proxy, in a module of its own: its requirements
# stay out of ours.
$(LINT): hack/tools/go.mod hack/tools/go.sum
	@mkdir -p $(@D)
	@echo "building golangci-lint (once, a few minutes)"
	@$(GO) build -modfile=hack/tools/go.mod -ldflags '-s -w' -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: need-go ## each fuzz test for FUZZTIME (30s)
	@grep -rlE '^func Fuzz' --include='*_test.go' cmd pkg | xargs -n1 dirname | sort -u | while read -r dir; do \
	  for f in $$(grep -rhoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' $$dir | cut -c6- | sort -u); do \
	    if grep -qE "^func $$f\(" $$dir/*_test.go; then $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) ./$$dir || exit 1; fi; \
	  done; done

BENCHFLAGS ?=
.PHONY: bench
bench: ## berth beside Debian's docker.io; BENCHFLAGS=-h for more (root)
	@hack/deps build demo bench
	@$(MAKE) --no-print-directory build $(BIN)/sampleimage
	@$(GO) build -o $(BIN)/bench ./hack/bench
	@$(BIN)/bench $(BENCHFLAGS)

.PHONY: deps
deps: ## install what build and tests need (apt; skips what is there)
	@hack/deps build test

# Manual pages, completions and the licences of what is compiled in, made by the
# programs' own commands and flags. These tools run here, whatever GOARCH is.
ASSETS := $(BIN)/assets
EPOCH  := $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
.PHONY: assets
assets: build
	@rm -rf $(ASSETS)
	TZ=UTC SOURCE_DATE_EPOCH=$(EPOCH) GOARCH= $(GO) run -ldflags '$(LDFLAGS)' ./hack/clidocs -o $(ASSETS)
	GOARCH= $(GO) run ./hack/notices -o $(ASSETS)/THIRD-PARTY-NOTICES $(addprefix $(BIN)/,$(BINARIES) $(SHIM) runc) $(addprefix $(BIN)/cni/,$(CNI_UPSTREAM))

.PHONY: install
install: assets ## into DESTDIR and PREFIX (/usr/local), helpers into libexec/berth
	BIN=$(BIN) hack/packaging/stage "$(DESTDIR)" "$(PREFIX)"

.PHONY: dist
dist: assets ## a tarball and Debian packages into dist/, for GOARCH
	@$(MAKE) --no-print-directory pack

# Of what is built: twice the same, bit by bit.
DIST ?= dist
.PHONY: pack
pack:
	BIN=$(BIN) VERSION=$(VERSION) COMMIT=$(COMMIT) SOURCE_DATE_EPOCH=$(EPOCH) GOARCH=$(shell $(GO) env GOARCH) hack/packaging/dist $(DIST)

# runc, whose first steps are C, needs a compiler of that architecture as well.
ARM64 := $(BIN)/arm64
.PHONY: arm64
arm64: ## the same for arm64 into bin/arm64/dist/, with Debian's cross compiler
	@$(MAKE) --no-print-directory dist GOARCH=arm64 CC=aarch64-linux-gnu-gcc BIN=$(ARM64) DIST=$(ARM64)/dist

.PHONY: clean
clean: ## remove bin/ and dist/
	rm -rf $(BIN) dist

.PHONY: need-go
need-go:
	@command -v $(GO) >/dev/null || { echo "Go is missing: Berth needs Go 1.26 or newer on the PATH (https://go.dev/dl/)"; exit 1; }
