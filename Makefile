# The two commands are `make repro` and `make test`; each sets up what it needs. `make help` lists the rest.
PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE :=
export DO_NOT_TRACK := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false
export DVC_NO_ANALYTICS := 1
export ITERATIVE_DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help setup data repro test dag lint format peers lock mlflow prefect worker clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 12

setup: .venv/.installed ## virtual environment with the locked dependencies (every other target does this first)

.venv/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tagdag needs Python >= 3.11; name one: make PYTHON=python3.12 ...")'
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	@touch $@

data: setup ## the versioned posts: pulled from the DVC remote, or the sample drawn again
	@python -m flows.version restore

repro: setup data ## the whole DAG, unchanged stages skipped (RECIPE=photographs, noise, minibatch, spaces or proxies: studies)
	@python -m $(if $(RECIPE),benchmarks.$(RECIPE),flows.pipeline)

test: setup data lint ## ruff, import contracts and the tests
	@python -m pytest

dag: setup ## compute anew which code each stage of dvc.yaml depends on
	@python -m flows.code

lint: setup ## ruff and the import contracts
	@ruff check . && ruff format --check . && lint-imports --no-logo --no-cache

format: setup ## let ruff mend what it can
	@ruff check --fix . && ruff format .

peers: setup ## the libraries that benchmarks compare with
	VIRTUAL_ENV=$(VENV) uv pip install --quiet --compile-bytecode --require-hashes -r requirements-peers.lock

COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --quiet
lock: setup ## resolve pyproject.toml again into requirements.lock and requirements-peers.lock
	$(COMPILE) pyproject.toml --extra dev --output-file requirements.lock
	$(COMPILE) --group pyproject.toml:peers --constraint requirements.lock --output-file requirements-peers.lock

mlflow: setup ## MLflow UI on http://127.0.0.1:5000
	mlflow server --host 127.0.0.1 --port 5000 --workers 1 --backend-store-uri sqlite:///mlflow.db

prefect: setup ## Prefect server and UI on http://127.0.0.1:4200
	prefect server start --host 127.0.0.1 --port 4200

worker: export PREFECT_API_URL ?= http://127.0.0.1:4200/api
worker: setup ## deploy the pipeline to the Prefect work pool `tagdag` and work for it (after `make prefect`)
	prefect --no-prompt work-pool create tagdag --type process --overwrite
	prefect --no-prompt deploy --all
	prefect worker start --pool tagdag --limit 1 --install-policy never

clean: ## forget every output and run, keep the data and the environment
	rm -rf out .tagdag dvc.lock mlflow.db mlruns
