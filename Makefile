# Each command says what it does, can be run again, and installs what it needs.

TOOLS := target/tools
# For what not everybody wants to build: make run FEATURES=gssapi
FEATURES :=
# Of each property, for make fuzz.
CASES := 20000
# Of make bench-load: triggers of each run, minutes and seconds of each, what an HPA poll calls
# (GetMetrics, or all three as KEDA 2.21 does), and whether KEDA's built-in scalers follow.
N := 100 1000 10000
MINUTES := 5
WARM_UP := 90
HPA := GetMetrics
BUILTIN := 1
# The name of the image: make image IMAGE=registry.example/backlog-scaler:0.1.0
IMAGE := backlog-scaler:dev
# The logins to Kafka that are features; their tests are built and run by themselves.
LOGINS := aws-msk-iam,gssapi

.PHONY: help run example load-test test test-charts test-cluster picture screenshots dashboard image dist bench bench-load fuzz book docs clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

run: ## build and serve: a sample Redis to try, or your settings alone with CONFIG=FILE
	@scripts/packages.sh build $(if $(CONFIG),,redis) $(if $(findstring gssapi,$(FEATURES)),kerberos)
	cargo build --release $(if $(FEATURES),--features '$(FEATURES)')
	@CONFIG='$(CONFIG)' scripts/run.sh

# Of make example: the system. RATE, SECONDS, SPEED and WORKERS go over its local.yaml; they get other names
# on the way, as some shells have a SECONDS of their own.
NAME :=
example: ## a system of deploy/examples on this machine: NAME=documents; RATE=5 SECONDS=60 SPEED=10 WORKERS=4
	@EXAMPLE_RATE='$(RATE)' EXAMPLE_SECONDS='$(SECONDS)' EXAMPLE_SPEED='$(SPEED)' EXAMPLE_WORKERS='$(WORKERS)' scripts/example.sh '$(NAME)'

load-test: ## simulate the load test of such a system, and draw it anew: NAME=documents
	@scripts/packages.sh build test-build
	mkdir -p docs/images
	cargo run --quiet --package testkit --bin load-test -- 'deploy/examples/$(NAME)' 'docs/images/$(NAME)-load-test.svg'

# Most tests wait for servers more than they compute.
TEST_THREADS := 3
test: ## install what tests need, then run everything
	@scripts/packages.sh build test-build redis redis-clients browser openssl java kerberos kerberos-server
	@scripts/tools.sh $(TOOLS) keda-judge grpcurl cargo-deny mdbook
	@tests/servers/kafka/install.sh
	@tests/servers/temporal/install.sh
	@tests/servers/redis-clients/install.sh
	@for example in deploy/examples/*/local.yaml; do scripts/example-python.sh "$$(basename "$$(dirname "$$example")")" || exit; done
	@tests/servers/axe/install.sh
	cargo fmt --all --check
	$(TOOLS)/bin/cargo-deny deny check bans licenses sources
	scripts/book.sh $(TOOLS)/bin/mdbook
	@$(MAKE) --no-print-directory test-charts
	cargo clippy --workspace --all-targets -- -D warnings
	BACKLOG_SCALER_TEST_ALL=1 KEDA_JUDGE=$(CURDIR)/$(TOOLS)/keda-judge GRPCURL=$(CURDIR)/$(TOOLS)/grpcurl cargo test --workspace -- --test-threads=$(TEST_THREADS)
	cargo clippy --all-targets --features $(LOGINS) -- -D warnings
	BACKLOG_SCALER_TEST_ALL=1 cargo test --features $(LOGINS) -- kafka::sasl kafka::security kafka::kerberos

test-charts: ## render the chart and the overlays in deploy/, and compare them with what they should be; test alerts and dashboard
	@scripts/tools.sh $(TOOLS) helm kustomize actionlint compose dashboard promtool
	scripts/charts.sh $(TOOLS)
	scripts/examples.sh $(TOOLS)

# The release build in the place where it is after cargo build --release.
RELEASE := $(CURDIR)/target/release/backlog-scaler

test-cluster: ## real KEDA on a real Kubernetes control plane, on loopback, with the release build behind it
	@scripts/packages.sh build test-build redis openssl java
	@scripts/tools.sh $(TOOLS) helm kustomize promtool
	@tests/servers/kafka/install.sh
	@tests/servers/temporal/install.sh
	@tests/cluster/install.sh
	cargo build --release
	BACKLOG_SCALER_TEST_ALL=1 BACKLOG_SCALER=$(RELEASE) CLUSTER_TOOLS="$$(tests/cluster/install.sh --where)" DEPLOY_TOOLS=$(CURDIR)/$(TOOLS) cargo test --test it -- cluster:: --nocapture --test-threads=1

screenshots: ## make the pictures of the status page anew, from a day of load, in a real browser
	@scripts/packages.sh build test-build redis browser
	@tests/servers/axe/install.sh
	BACKLOG_SCALER_TEST_ALL=1 UPDATE_SCREENSHOTS=1 cargo test --test it -- status::pictures

dashboard: ## draw panels of the dashboard anew, by Prometheus' own code, from 6 minutes of load on a real Redis
	@scripts/packages.sh build test-build redis
	@scripts/tools.sh $(TOOLS) panels
	cargo run --quiet --package testkit --bin dashboard -- deploy/helm/backlog-scaler/files/dashboard.json $(TOOLS)/panels docs/images/dashboard.svg

picture: ## draw the README's picture anew, from what make test-cluster has recorded, and that of the simulator
	@[ -e target/cluster/scenario-1.csv ] || $(MAKE) --no-print-directory test-cluster
	mkdir -p docs/images
	scripts/picture.sh target/cluster/scenario-1.csv >docs/images/scaling.svg
	UPDATE_EXAMPLES=1 cargo test --quiet --test it -- recorded::page

image: ## build the image with docker, podman or buildah: IMAGE=NAME:TAG; BASE=debootstrap without a registry
	@FEATURES='$(FEATURES)' scripts/image.sh $(IMAGE)

dist: ## what a release consists of, in target/dist: program, SBOM, chart, checksums
	@scripts/packages.sh build
	@scripts/tools.sh $(TOOLS) helm cargo-cyclonedx
	scripts/dist.sh $(TOOLS)

bench: ## measure: the hot path, and load runs beside KEDA's own scalers and raw clients
	@scripts/packages.sh build test-build redis openssl java
	@scripts/tools.sh $(TOOLS) keda-judge
	@tests/servers/kafka/install.sh
	@tests/servers/temporal/install.sh
	cargo bench --bench hot_path
	cargo bench --bench simulate
	KEDA_JUDGE=$(CURDIR)/$(TOOLS)/keda-judge cargo bench --bench load

bench-load: ## 100, 1,000 and 10,000 triggers in KEDA's rhythm for minutes: N="1000" MINUTES=5; BUILTIN=0 without KEDA's own
	@scripts/packages.sh build test-build redis openssl java
	@scripts/tools.sh $(TOOLS) keda-judge
	@tests/servers/kafka/install.sh
	@tests/servers/temporal/install.sh
	KEDA_JUDGE=$(CURDIR)/$(TOOLS)/keda-judge BENCH_TRIGGERS='$(N)' BENCH_MINUTES=$(MINUTES) BENCH_WARM_UP=$(WARM_UP) \
		BENCH_HPA=$(HPA) BENCH_BUILTIN=$(BUILTIN) cargo bench --bench load -- sustained

fuzz: ## property tests with many more cases than in make test: CASES=20000, a quarter of an hour on 2 cores
	PROPTEST_CASES=$(CASES) cargo test --workspace -- properties

book: ## build the documentation as a book, in target/book
	@scripts/tools.sh $(TOOLS) mdbook
	scripts/book.sh $(TOOLS)/bin/mdbook

docs: ## write the reference pages, the chart's schema, and the tables and pictures that tests compute anew
	cargo run --quiet -- keys --output markdown > target/keys.md
	mv target/keys.md docs/reference/keys.md
	cargo run --quiet -- check --codes > target/checks.md
	mv target/checks.md docs/reference/checks.md
	UPDATE_CHART=1 cargo test --quiet --test it -- docs::the_chart_knows
	UPDATE_EXAMPLES=1 cargo test --quiet --test it -- examples::pipeline_load examples::pipeline_tuned recorded::page tune::pages --test-threads=1

clean: ## remove what was built here
	cargo clean
