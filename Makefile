# Each goal does all of its own set-up: a virtual environment, the pinned packages, the project.
# It needs Python 3.11 or newer and make, and nothing else. Other Pythons: make test PYTHON=python3.12

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt

WEB    := $(wildcard web/*.json web/*.ts web/*.js web/index.html) $(shell find web/src web/public -type f 2>/dev/null)
PAGE   := src/diabolo/explore/page
NPM    ?= npm

PEERS  := benchmarks/.venv-peers
BENCH  ?= --rounds 5

# Libraries are compiled once and not by each process that imports them: seconds each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo web page-tests test slow lint docs table experiments few-labels balance impute anomalies bench clean
.PHONY: explorer-speed explorer-pictures
help:
	@echo "make demo    train a VAE on real handwritten digits; look at runs/demo"
	@echo "make web     the explorer's page, from web/ by Node 20.19 or newer; tests and wheels use it"
	@echo "make test    the fast tests"
	@echo "make slow    the long tests: training to stated likelihoods"
	@echo "make lint    format, style, types, dependencies"
	@echo "make docs    the documentation, with every example executed"
	@echo "make table   every recipe trained on digits: docs/results/recipes.json"
	@echo "make experiments   the gallery at full size: docs/results/experiments; DATA=DATA ONLY=\"ring sigma\""
	@echo "make few-labels   a classifier from 100 labels of MNIST: docs/results/few_labels.json; DATA=DATA"
	@echo "make balance   drawn rows of rare classes and their referee: docs/results/balance.json; DATA=DATA"
	@echo "make impute  holes filled in, beside other imputers: docs/results/impute.json; DATA=DATA"
	@echo "make anomalies   strange rows of the ADBench tables beside PyOD: docs/results/anomalies.json; DATA=DATA"
	@echo "make explorer-speed      from input events to pixels: docs/results/explorer.json; DATA=DATA; needs Chromium"
	@echo "make explorer-pictures   the explorer's pictures in the documentation; needs Chromium"
	@echo "make bench   Diabolo beside its peers and this machine's limit; BENCH=\"--rounds 3 --data-dir DATA\""
	@echo "make clean   remove the environment, caches and built documentation (runs stay)"

# pip takes torch (it reads this machine's mirrors and wheels); uv, which keeps that torch, the rest.
$(VENV)/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"This needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + \
	". Say: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch uv
	$(PIP) --editable ".[all]"
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --editable ".[all]" --group dev
	@touch $@

demo: $(VENV)/.run
	$(BIN)/diabolo demo

# Node is needed to build the page and for nothing else.
web:
	@command -v $(NPM) >/dev/null || { echo "The explorer's page is built by Node 20.19 or newer with npm, and npm \
	is not found. Install Node, or say: make web NPM=/path/to/npm"; exit 1; }
	@$(MAKE) --no-print-directory $(PAGE)/report.js

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && $(NPM) ci --no-audit --no-fund
	@touch $@

$(PAGE)/report.js: web/node_modules/.package-lock.json $(WEB)
	cd web && $(NPM) run build

page-tests: $(PAGE)/report.js
	cd web && $(NPM) run --silent check && $(NPM) run --silent test

# The page where it can be built; the tests that need it skip themselves elsewhere.
test: $(VENV)/.dev $(if $(shell command -v $(NPM) 2>/dev/null),page-tests)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m "not slow"

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m slow --timeout=3600

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check
	$(BIN)/deptry src

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

table: $(VENV)/.dev
	$(BIN)/python benchmarks/recipes.py --data digits --out docs/results/recipes.json --figures docs/results/recipes

experiments: $(VENV)/.dev
	$(BIN)/python benchmarks/experiments.py $(if $(DATA),--data-dir $(DATA)) $(ONLY)

few-labels: $(VENV)/.dev
	$(BIN)/python benchmarks/few_labels.py $(if $(DATA),--data-dir $(DATA)) --out docs/results/few_labels.json

balance: $(VENV)/.dev
	$(BIN)/python benchmarks/balance.py --data-dir $(DATA) --out docs/results/balance.json

impute: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/impute.py --data-dir $(DATA) --out docs/results/impute.json

explorer-speed: $(VENV)/.dev web
	$(BIN)/python benchmarks/explorer.py --data-dir $(DATA) --out docs/results/explorer.json

explorer-pictures: $(VENV)/.dev web
	$(BIN)/python docs/explorer_pictures.py

# The peers live in an environment of their own, with this torch and this project.
$(PEERS)/.made: pyproject.toml constraints.txt benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch uv
	$(PEERS)/bin/uv pip install --quiet --python $(PEERS)/bin/python --constraint constraints.txt \
	--requirement benchmarks/peers.txt --editable .
	@touch $@

anomalies: $(PEERS)/.made
	OMP_NUM_THREADS=1 $(PEERS)/bin/python benchmarks/anomalies.py --data-dir $(DATA) --out docs/results/anomalies.json

bench: $(PEERS)/.made
	$(PEERS)/bin/python benchmarks/bench.py --against docs/results $(BENCH)

clean:
	rm -rf $(PEERS) benchmarks/.cache
	rm -rf $(VENV) docs/_build docs/gallery docs/generated docs/sg_execution_times.rst dist
	rm -rf $(PAGE) web/node_modules .node
	rm -rf .pytest_cache .ruff_cache .hypothesis
	find src tests docs examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
