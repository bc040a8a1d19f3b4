# What is run often. Tools are pinned; nothing is installed but Debian packages
# that tests of real file systems need, and only where that can be done.
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME   ?= 20s
PKG        ?= ./...

.PHONY: help run build test lint fuzz robust bench fmt debs

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

build: ## the binary, in .bin/
	go build -o .bin/gatebook ./cmd/gatebook

run: build ## a ledger with a first intercom, and what to type next
	GATEBOOK=.bin/gatebook sh ops/run.sh

test: lint debs ## everything, with the race detector
	go test -race -timeout 14m $(PKG)

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l $$(ls -d cmd events projections commands intercom ops)); \
	if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi
	go vet $(PKG)
	$(STATICCHECK) $(PKG)

fmt: ## gofmt
	gofmt -w cmd events projections commands intercom ops

fuzz: ## every fuzzer for FUZZTIME
	@grep -rno --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | while IFS=: read -r file _ name; do \
		name=$${name#func }; echo "$$(dirname $$file) $$name"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$(dirname $$file)" </dev/null || exit 1; \
	done

robust: ## the long forms: races, kills, power cuts, cut lines, 50 seeds of damage
	GATEBOOK_ROBUST=full GATEBOOK_SEEDS=50 go test -count=1 -timeout 90m -v ./ops/robust/... ./ops/verify

bench: ## the shared barrier beside one sync a write, in the same run
	go test -run '^$$' -bench . -benchtime 1x ./ops/robust

# The race detector needs a C compiler, the power cuts a file system to cut.
debs:
	@sh -c 'command -v gcc && command -v mkfs.ext4 && command -v losetup' >/dev/null 2>&1 || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends gcc libc6-dev e2fsprogs util-linux mount; } \
			>/dev/null 2>&1 || echo "gcc, e2fsprogs, util-linux or mount could not be installed: what needs them fails or is skipped"; \
	fi
