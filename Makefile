.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where the demo and `make openi` write.
RUNS ?= runs
# A folder with NLMCXR_reports.tgz, images/ and (optional) splits.csv.
OPENI ?= data/openi
STAMP := $(VENV)/.installed

.PHONY: help setup demo openi test test-slow check format docs wheel clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(STAMP) ## create .venv with everything: package, offline towers, development tools

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[offline,wandb,dev,docs]'
	touch $@

# --- the demo: a phantom collection through every step -------------------------------------------------------------

DEMO := $(RUNS)/demo

demo: $(STAMP) ## phantom chest films: draw, convert, encode with real towers, fit, test; prints the table (about 2 min)
	rm -rf $(DEMO)
	$(BIN)/mcmfh-data phantom --out $(DEMO)/phantom
	$(BIN)/mcmfh-data openi --reports $(DEMO)/phantom/reports.tgz --images $(DEMO)/phantom/images \
	    --splits $(DEMO)/phantom/splits.csv --name phantom --out $(DEMO)/pairs
	$(BIN)/mcmfh predict --config experiments/encode_offline.yaml --data.root $(DEMO)/pairs \
	    --model.output_dir $(DEMO)/features --run_dir $(DEMO)/encode
	$(BIN)/mcmfh fit --config experiments/demo.yaml --data.root $(DEMO)/features --run_dir $(DEMO)/run
	$(BIN)/mcmfh test --config experiments/demo.yaml --data.root $(DEMO)/features --run_dir $(DEMO)/run \
	    --ckpt_path $(DEMO)/run/fit/checkpoints/best.ckpt
	@echo "Plots, ranking.csv and metrics.json: $(DEMO)/run/test"

# --- Open-i: the same four commands on the real collection ---------------------------------------------------------

OPENI_RUN := $(RUNS)/openi
OPENI_SPLITS := $(if $(wildcard $(OPENI)/splits.csv),--splits $(OPENI)/splits.csv,)

openi: $(STAMP) ## Open-i from OPENI=folder: convert, encode, fit and test a 16-bit MCMFH
	$(BIN)/mcmfh-data openi --reports $(OPENI)/NLMCXR_reports.tgz --images $(OPENI)/images $(OPENI_SPLITS) \
	    --out $(OPENI_RUN)/pairs
	test -f $(OPENI_RUN)/features/dataset.json || $(BIN)/mcmfh predict --config experiments/encode_offline.yaml \
	    --data.root $(OPENI_RUN)/pairs --model.output_dir $(OPENI_RUN)/features --run_dir $(OPENI_RUN)/encode
	test -f $(OPENI_RUN)/run/fit/checkpoints/best.ckpt || $(BIN)/mcmfh fit --config experiments/openi_mcmfh.yaml \
	    --data.root $(OPENI_RUN)/features --run_dir $(OPENI_RUN)/run
	$(BIN)/mcmfh test --config experiments/openi_mcmfh.yaml --data.root $(OPENI_RUN)/features \
	    --run_dir $(OPENI_RUN)/run --ckpt_path $(OPENI_RUN)/run/fit/checkpoints/best.ckpt
	@echo "Plots, ranking.csv and metrics.json: $(OPENI_RUN)/run/test"

# --- development ---------------------------------------------------------------------------------------------------

# mypy and mkdocstrings cannot follow the mapped folders of an editable install: they read a plain copy.
plain-copy = rm -rf build && $(BIN)/python -m pip install --quiet --no-deps --target build/package .

test: $(STAMP) ## fast tests (under 8 min on 2 cores)
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(STAMP) ## the tests marked slow: full-size towers, process pools, the demo, a wheel in a new environment
	$(BIN)/python -m pytest -m slow

check: $(STAMP) ## format, lint, spelling, types, docs build
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(plain-copy)
	MYPYPATH=build/package $(BIN)/mypy -p mcmfh_lightning
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

format: $(STAMP) ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## build the site into site/
	$(plain-copy)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove what the targets made, except .venv
	rm -rf $(DEMO) build dist site .pytest_cache .ruff_cache .mypy_cache src/*.egg-info
