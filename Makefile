# Every target installs what it needs by itself: Python 3.11 or newer, make and git are enough.
PYTHON ?= python3
BIN := .venv/bin
RIVALS := .bench/ministack/bin
MENDER := .bench/mender
CONSOLE := packages/updates/console
MQTTJS := tests/browser/node_modules
# Node trusts no certificates of the system by itself, and a registry may be behind an authority of the house's own.
export NODE_EXTRA_CA_CERTS ?= $(wildcard /etc/ssl/certs/ca-certificates.crt)
INPUTS := uv.lock pyproject.toml $(wildcard packages/*/pyproject.toml)

.PHONY: help install demo test soak fuzz check bench bench-growth bench-million bench-rivals bench-gateway bench-idle bench-agent bench-page format schema tables power-cuts deb conformance console chromium mqttjs peers rauc faketime clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST)

install: .venv/installed ## everything into .venv; quiet and quick when nothing changed
	@:

.venv/installed: $(INPUTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv sync --quiet --frozen --all-packages
	@touch $@

demo: install ## the mission on an empty machine: one server, real agents, a table at the end (KEEP=1 leaves it running)
	@$(BIN)/python -m outfitter_fleet.demo $(if $(KEEP),--keep)

test: install chromium peers rauc faketime mqttjs ## every test
	@$(BIN)/python -m pytest -q

soak: install ## ten thousand random lives of jobs of each kind, and of sessions; takes an hour or so and tells how far it is
	@OUTFITTER_SOAK=$(or $(LIVES),10000) $(BIN)/python -m pytest -q -s -o addopts= --strict-markers --import-mode=importlib tests/unit/jobs/test_rules_model.py \
	tests/unit/gateway/test_gateway_durable.py::test_nothing_is_lost_and_nothing_acknowledged_comes_again

fuzz: install ## any bytes at everything that reads bytes (MINUTES=10 for each target, JOBS=1, TARGETS=…, KEEP=1: renew the corpus)
	@$(BIN)/uv sync --quiet --frozen --all-packages --inexact --group fuzz
	@$(BIN)/python tests/fuzz/run.py --minutes $(or $(MINUTES),10) --jobs $(or $(JOBS),1) $(if $(KEEP),--keep) $(TARGETS)

check: install ## format, lint, types, import walls
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@if command -v npm >/dev/null && $(MAKE) --no-print-directory $(CONSOLE)/node_modules/installed; \
	then npm --prefix $(CONSOLE) run --silent check; \
	else echo "no node, or no packages for it: the page's sources are not type-checked"; fi

bench: install ## the benchmarks, as tables (ARGS=--help tells their options; so for the next three)
	@$(BIN)/python -m outfitter_fleet.load $(ARGS)

bench-growth: install ## what a request costs when more and more is stored (4 minutes)
	@$(BIN)/python -m outfitter_fleet.load.growth $(ARGS)

bench-million: install ## a job for a million things, memory, start (1 minute)
	@$(BIN)/python -m outfitter_fleet.load.million $(ARGS)

bench-rivals: install $(RIVALS)/ministack ## beside MiniStack, each in a network of its own (2 minutes)
	@$(BIN)/python -m outfitter_fleet.load.rivals --ministack $(RIVALS)/ministack $(ARGS)

bench-gateway: install peers ## the gateway beside Debian's Mosquitto, the same clients in turn (3 minutes)
	@$(BIN)/python -m outfitter_fleet.load.gateway $(ARGS)

bench-idle: install ## 15,000 connections that only listen: memory, coming, coming back after a restart (4 minutes)
	@$(BIN)/python -m outfitter_fleet.load.idle $(ARGS)

bench-agent: install rauc $(MENDER)/usr/bin/mender ## the agent on its device: start, idle, memory and time of an install; into docs/reference/agent-performance.md (2 minutes)
	@$(BIN)/python -m outfitter_fleet.load.agent --root . $(ARGS) \
	$$(test "$$(id -u)" = 0 && command -v rauc >/dev/null && test -x $(MENDER)/usr/bin/mender && echo --beside $(MENDER))

$(MENDER)/usr/bin/mender: # Debian's client of Mender, unpacked and not installed, with what makes its artifacts
	@mkdir -p $(MENDER) && cd $(MENDER) && apt-get download -qq mender-client mender-artifact 2>/dev/null \
	&& for each in *.deb; do dpkg-deb --extract $$each . || exit 1; done \
	|| echo "Debian's mender-client cannot be brought here: it is left out"

bench-page: ## all of the above but bench-agent, written into docs/reference/performance.md
	@for each in bench bench-growth bench-million bench-rivals bench-gateway bench-idle; do $(MAKE) --no-print-directory $$each ARGS="--root ." || exit 1; done

$(RIVALS)/ministack:
	@$(PYTHON) -m venv .bench/ministack
	@$(RIVALS)/python -m pip install --quiet --disable-pip-version-check ministack

format: install ## put the source in the house's format, repair what lint can repair
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

schema: install ## write stores/sqlite/schema.sql anew from the migrations
	@$(BIN)/python -m outfitter_fleet.tables schema

tables: install ## write the tables of docs/reference anew from the contract
	@$(BIN)/python -m outfitter_fleet.tables reference

power-cuts: install ## cut the agent's power before and after every step, and write docs/reference/power-cuts.md anew (half a minute)
	@$(BIN)/python -m outfitter_fleet.power

deb: install ## the agent as a package for Debian 12, into dist/ (ARCH=arm64 for the other architecture)
	@sh packages/agent/debian/build.sh dist $(or $(ARCH),$(shell dpkg --print-architecture))

conformance: install ## the conformance tests against ours, MiniStack and moto; writes their table (needs unshare and faketime)
	@$(BIN)/python -m outfitter_fleet.conformance

console: $(CONSOLE)/node_modules/installed ## build the page anew from packages/updates/console (needs node)
	@npm --prefix $(CONSOLE) run --silent build

$(CONSOLE)/node_modules/installed: $(CONSOLE)/package-lock.json
	@npm --prefix $(CONSOLE) ci --silent --no-audit --no-fund --fetch-retries=1
	@touch $@

chromium: ## the browser of tests/browser, when it is missing and this machine lets us bring it
	@command -v chromium >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null \
	|| { echo "installing chromium for tests/browser" >&2; export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null \
	|| echo "chromium cannot be installed: tests/browser will fail"

mqttjs: ## MQTT.js for tests/browser, with the npm that is there or, if this machine lets us bring it, Debian's
	@command -v npm >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null \
	|| { echo "installing npm for tests/browser" >&2; export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends npm; } >/dev/null || true
	@$(MAKE) --no-print-directory $(MQTTJS)/installed || echo "MQTT.js cannot be installed: one test of tests/browser will fail"

$(MQTTJS)/installed: tests/browser/package-lock.json
	@npm --prefix tests/browser ci --silent --no-audit --no-fund --ignore-scripts --fetch-retries=1
	@touch $@

peers: ## mosquitto and its clients, which tests and benchmarks stand beside, when missing and this machine lets us bring them
	@command -v mosquitto >/dev/null && command -v mosquitto_pub >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null \
	|| { echo "installing mosquitto and mosquitto-clients" >&2; export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends mosquitto mosquitto-clients; } >/dev/null \
	|| echo "mosquitto cannot be installed: tests/acceptance/test_mqtt_clients.py and test_bench.py will fail"

rauc: ## RAUC and what makes and installs its bundles, which the agent's tests do as root, when missing and this machine lets us bring it
	@command -v rauc >/dev/null && command -v mksquashfs >/dev/null && command -v gdbus >/dev/null && command -v dbus-daemon >/dev/null \
	|| test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null \
	|| { echo "installing rauc, squashfs-tools, dbus and libglib2.0-bin" >&2; export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends rauc squashfs-tools dbus libglib2.0-bin; } >/dev/null \
	|| echo "rauc cannot be installed: tests/unit/agent/test_rauc_slots.py and tests/acceptance/test_agent_rauc.py will fail"

faketime: ## libfaketime, for the test of a clock that is wrong, when missing and this machine lets us bring it
	@command -v faketime >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null \
	|| { echo "installing faketime" >&2; export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends faketime; } >/dev/null \
	|| echo "faketime cannot be installed: one test of tests/faults/test_download_faults.py will fail"

clean: ## remove what the other targets made
	rm -rf .venv $(CONSOLE)/node_modules $(MQTTJS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .conformance .demo .bench .fuzz
