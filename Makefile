# Everything a developer runs. `make` alone lists the targets.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

# Run at a fixed version through the module proxy: nothing has to be installed,
# and everyone gets the same verdict. The first run compiles it.
GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

FUZZTIME ?= 30s
ROUNDS ?= 200

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/gavel, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/gavel ./cmd/gavel

.PHONY: test
test: ## vet and all tests, under the race detector, in random order; needs Go, gcc and the module proxy
	go vet ./...
	# Without atexit_sleep_ms each process of a test would end with a second of sleep.
	# SQLite, as translated from C, is left as it is: watching it costs two thirds of
	# the time and finds nothing of ours.
	GORACE=atexit_sleep_ms=0 go test -race -gcflags='modernc.org/sqlite/lib=-race=false' -shuffle=on -timeout 20m ./...
	# What tries very much tries all of it here only; nothing in it is concurrent.
	go test -shuffle=on ./engine/rules

.PHONY: fmt
fmt: ## fail if a file is not as gofmt writes it
	@out=$$(gofmt -l .); \
	if [ -n "$$out" ]; then echo "not formatted, run gofmt -w on:"; echo "$$out"; exit 1; fi

.PHONY: lint
lint: ## golangci-lint, with the import rules of this repository
	$(GOLANGCI) run ./...

.PHONY: check
check: fmt lint test build ## format, lint, vet, tests, build: before a commit

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30s)
	@for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

.PHONY: bench
bench: ## the speed table: each figure beside its mark (15 minutes, 15 GB of disk)
	go run ./test/bench

.PHONY: scale
scale: ## a million sessions: time to start, and rate beside an empty store
	go run ./test/scale

.PHONY: diff
diff: ## gavel diff over 100,000 stored events: how long it takes
	go test -count=1 -v -timeout 30m -run '^TestSpeed$$' ./test/diff -events 100000

.PHONY: crash
crash: ## what can go wrong around it, ROUNDS (200) times each: nothing is lost
	go test -count=1 -v -timeout 4h ./test/faults -rounds $(ROUNDS) -hang 60s
	go test -count=1 -v -timeout 1h -run '^TestKill$$' ./test/scenario -kills $(ROUNDS)
	go test -count=1 -v -timeout 1h -run '^TestKilled$$' ./test/slack -kills $(ROUNDS)
	go test -count=1 -v -timeout 1h -run '^TestUpgradeKilled$$' ./engine/store -upgrade-kills 0
	go test -count=1 -v -timeout 1h -run '^Test(RandomHistories|KilledWhileDeleting)$$' ./engine/store -months $(ROUNDS)
	go test -count=1 -v -timeout 1h -run '^TestRetryTimes$$' ./engine -failing 10000
	go test -count=1 -v -timeout 1h -run '^TestWaitingRuns$$' ./engine/store -waiting 100000

MEETINGS ?= 100000

.PHONY: ledger
ledger: ## MEETINGS (100,000) told in any order, ROUNDS (200) kills: the ledger is that of a model
	go test -count=1 -v -timeout 3h ./test/ledger -meetings $(MEETINGS) -kills $(ROUNDS)
	go test -count=1 -v -timeout 1h -run '^Test(Tampering|UpgradeLargeLedger)$$' -bench '^BenchmarkVerifyLedger$$' \
		./engine/store -tamperings 1000 -upgrade-entries 1000000

.PHONY: hostile
hostile: ## targets and name servers that mean ill: 1,000 calls of each kind, 10,000 names that change their minds
	go test -count=1 -v -timeout 1h -run '^Test(HostileTargetsMany|Rebinding)$$' ./actions -hostile 1000 -rebindings 10000

SOAK ?= 30m
SEEDS ?= 1000

.PHONY: soak
soak: ## SOAK (30m) under load, and SEEDS (1000) virtual days: nothing grows, nothing is lost
	@mkdir -p bin
	go test -count=1 -v -timeout 0 -run '^TestSoak$$' ./test/soak -for $(SOAK) -artifacts -outputdir $(CURDIR)/bin
	go test -count=1 -v -timeout 3h -run '^TestDay$$' ./test/soak -seeds $(SEEDS)

.PHONY: pressure
pressure: ## more than it can take: deliveries, bodies, strangers, too little memory, too few files
	go test -count=1 -v -timeout 30m ./test/pressure -long 5

.PHONY: senders
senders: ## the platforms' own senders post to a running gavel
	cd test/senders && go vet ./... && go test -count=1 -v ./...

.PHONY: names
names: ## 5,000 hostile names through every action: each arrives as plain text
	go test -count=1 -v -timeout 30m -run '^TestHostileNames$$' ./cmd/gavel -names 5000

.PHONY: unit
unit: ## the exposure of the systemd units, at most 2.0, also with the drop-in for exec
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT; \
	mkdir "$$dir/gavel.service.d" && cp packaging/systemd/gavel.service "$$dir" && cp packaging/systemd/exec.conf "$$dir/gavel.service.d"; \
	for unit in packaging/systemd/*.service "$$dir/gavel.service"; do \
		out=$$(systemd-analyze security --offline=true --threshold=20 --no-pager $$unit) \
			|| { echo "$$out"; exit 1; }; echo "$$out" | tail -1; \
	done

.PHONY: clean
clean: ## remove what the other targets built
	rm -rf bin
