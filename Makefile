.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What installs into VENV; `uv pip` is quicker.
PIP ?= $(BIN)/python -m pip
# Where `make demo`, `make openi` and `make roco` write.
RUNS ?= runs
# A folder with NLMCXR_reports.tgz, images/ and (optional) splits.csv.
OPENI ?= data/openi
# A clone of the ROCO repository after its scripts/fetch.py.
ROCO ?= data/roco
# What is installed: for a user, and with the tool chain.
STAMP := $(VENV)/.installed
DEV := $(VENV)/.dev

.PHONY: help setup dev demo openi roco table table-run test test-slow check format docs clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(STAMP) ## create .venv with what a user needs: training, archives, pretrained towers

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --editable '.[train,archive,offline]'
	touch $@

dev: $(DEV) ## create .venv with the tool chain as well: tests, checks, docs

$(DEV): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --editable '.[dev,docs]'
	touch $(STAMP) $@

# --- the demo ------------------------------------------------------------------------------------------------------

DEMO := $(RUNS)/demo

demo: $(STAMP) ## drawn chest films: convert, encode, fit, test, archive, search; prints table and hits (about 3 min)
	rm -rf $(DEMO)
	$(BIN)/mcmfh demo --out $(DEMO)

# --- real collections: the same four commands; finished steps are not repeated ----------------------------------

# $(1): folder of the run, holding pairs/.
define encode-fit-test
	test -f $(1)/features/dataset.json || $(BIN)/mcmfh predict --config experiments/encode_offline.yaml \
	    --data.root $(1)/pairs --model.output-dir $(1)/features --run-dir $(1)/encode
	$(BIN)/mcmfh fit --config experiments/query_towers.yaml --data.root $(1)/features --run-dir $(1)/run --ckpt-path last
	$(BIN)/mcmfh test --config experiments/query_towers.yaml --data.root $(1)/features \
	    --run-dir $(1)/run --ckpt-path $(1)/run/fit/checkpoints/best.ckpt
	@echo "Plots, ranking.csv and metrics.json: $(1)/run/test"
endef

OPENI_SPLITS := $(if $(wildcard $(OPENI)/splits.csv),--splits $(OPENI)/splits.csv,)

openi: $(STAMP) ## Open-i from OPENI=folder: convert, encode, fit and test 16-bit towers
	$(BIN)/mcmfh-data openi --reports $(OPENI)/NLMCXR_reports.tgz --images $(OPENI)/images $(OPENI_SPLITS) \
	    --out $(RUNS)/openi/pairs
	$(call encode-fit-test,$(RUNS)/openi)

roco: $(STAMP) ## ROCO radiology from ROCO=clone, split again by article: convert, encode, fit and test 16-bit towers
	$(BIN)/mcmfh-data roco --root $(ROCO) --subset radiology --resplit 80/10/10 --seed 0 --out $(RUNS)/roco/pairs
	$(call encode-fit-test,$(RUNS)/roco)

# --- tables: declared runs and their results, which are committed ---------------------------------------------------

# Trials first: the tables count them.
TABLES := $(addprefix benchmarks/tables/,tuning.yaml comparison.yaml subsets.yaml ablation.yaml bits.yaml tuned.yaml)
# Runs at a time.
JOBS ?= 1

table: $(DEV) ## render benchmarks/tables/*.yaml from the results that are committed into docs/results/
	for file in benchmarks/tables/*.yaml; do $(BIN)/python benchmarks/table.py $$file; done

# $(1): collection, $(2): training pairs.
subset = test -f $(RUNS)/$(1)_$(2)/features/dataset.json || $(BIN)/python benchmarks/subset.py \
    --features $(RUNS)/$(1)/features --pairs $(2) --out $(RUNS)/$(1)_$(2)/features

table-run: $(DEV) ## run what has no result yet (JOBS at a time), then render; needs runs/openi/features, runs/roco/features
	$(foreach name,openi roco,$(foreach pairs,300 1000 3000,$(call subset,$(name),$(pairs));))
	for file in $(TABLES); do $(BIN)/python benchmarks/table.py $$file --run --jobs $(JOBS); done

# --- development ---------------------------------------------------------------------------------------------------

# mypy and mkdocstrings cannot follow the mapped folders of an editable install: they read a plain copy, as wheels have it.
plain-copy = rm -rf build && mkdir -p build/package && cp -r src/mcmfh_lightning build/package && \
    cp -r datamodules lightning_configs build/package/mcmfh_lightning

test: $(DEV) ## fast tests (about 10 min on 2 cores)
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: $(DEV) ## tests marked slow: full-size towers, process pools, the demo, a wheel in a new environment
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile

check: $(DEV) ## format, lint, spelling, types, docs build
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(plain-copy)
	MYPYPATH=build/package $(BIN)/mypy -p mcmfh_lightning
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

format: $(DEV) ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(DEV) ## build the site into site/
	$(plain-copy)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove what the targets made, .venv excepted
	rm -rf $(DEMO) build dist site .pytest_cache .ruff_cache .mypy_cache src/*.egg-info
