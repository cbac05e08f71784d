# The two commands are `make repro` and `make test`; each sets up what it needs. `make help` lists the rest.
PYTHON ?= python3
# quoted: the folder's name may have spaces; recipes name .venv itself relative to it
VENV := $(CURDIR)/.venv
UV := VIRTUAL_ENV="$(VENV)" .venv/bin/uv
export PATH := $(VENV)/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE :=
export OMP_WAIT_POLICY ?= PASSIVE
export DO_NOT_TRACK := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := 1
export ITERATIVE_DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help setup data repro test dag docs lint format peers audit lock wheels browser up down mlflow prefect worker clean forget-runs

help: ## list the targets and their variables
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 14
	@echo; grep -hE '^#: ' Makefile | sed -E 's/^#: ([^ ]+) +/\1\t/' | expand -t 24

#: PYTHON=python3.12 the Python that the environment is made with (python3)
#: RECIPE=photographs the study that `make repro` runs: photographs, noise, minibatch, spaces, proxies, selfsup, video, objects, scratch or distillation
#: MLFLOW_PORT=5001 the port of `make mlflow` (5000); exported, reports link to it
#: PREFECT_PORT=4201 the port of `make prefect` (4200)
#: NIGHTLY=off when the servers of `make up` run the whole DAG: "0 3 * * *" (UTC), or off (as it was)
#: TAGDAG_...=... `python -m flows.environment` lists what trainings and searches heed

setup: .venv/.installed ## virtual environment with the locked dependencies (every other target does this first)

.venv/.installed: requirements.lock requirements-uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tagdag needs Python >= 3.11; name one: make PYTHON=python3.12 ...")'
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements-uv.lock
	$(UV) pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

data: setup ## the versioned posts: pulled from the DVC remote, or the sample drawn again
	@python -m flows.version restore

repro: setup data ## the whole DAG, unchanged stages skipped (RECIPE=photographs, noise, minibatch, spaces, proxies, selfsup, video, objects, scratch or distillation: studies)
	@python -m $(if $(RECIPE),benchmarks.$(RECIPE),flows.pipeline)

# side by side, each with one thread: two that spin on two cores lose to one. Three for two cores: many wait for a
# server, a signal or a commit to disk. Then what measures times, alone
SIDE_BY_SIDE := -n $(shell echo $$(( ($$(env -u OMP_NUM_THREADS nproc) * 3 + 1) / 2 ))) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
test: export OMP_NUM_THREADS := 1
test: setup data lint ## ruff, import contracts and the tests
	@python -m pytest $(SIDE_BY_SIDE) -m 'not serial and not matrix'
	@python -m pytest -m serial $$(grep -rl --include='*.py' mark.serial tests) # the others take 10 s to be collected

dag: setup ## compute anew which code each stage of dvc.yaml depends on
	@python -m flows.running.code

docs: setup ## make the pages of docs/ that are computed
	@mkdir -p .tagdag
	@python -m flows.settings > .tagdag/page.md && mv .tagdag/page.md docs/settings.md
	@python -m flows.plugins --markdown > .tagdag/page.md && mv .tagdag/page.md docs/plugins.md

lint: setup ## ruff, the import contracts, one thought a line
	@ruff check . && ruff format --check . && lint-imports --no-logo --no-cache && python -m benchmarks.readability --check

format: setup ## let ruff mend what it can
	@ruff check --fix . && ruff format .

peers: setup ## what benchmarks compare with and scale out on
	$(UV) pip install --quiet --compile-bytecode --require-hashes -r requirements-peers.lock

audit: peers ## known vulnerabilities of the locked packages (needs pypi.org)
	@python -m pip_audit --strict --no-deps --disable-pip -r requirements.lock

COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --quiet
lock: setup ## resolve pyproject.toml again into the requirements*.lock
	$(COMPILE) pyproject.toml --extra dev --extra export --extra dask --output-file requirements.lock
	$(COMPILE) --group pyproject.toml:setup --output-file requirements-uv.lock
	$(COMPILE) --group pyproject.toml:peers --constraint requirements.lock --output-file requirements-peers.lock

# what the real stages import and a bare machine with torch lacks; without wordfreq and botocore, which are large
WHEELS := alembic annotated-types anyio cachetools cffi colorlog cryptography databricks-sdk fastapi gitdb gitpython \
    google-auth greenlet importlib-metadata mako mlflow mlflow-skinny mlflow-tracing opentelemetry-api \
    opentelemetry-proto opentelemetry-sdk opentelemetry-semantic-conventions optuna orjson packaging protobuf \
    pyasn1 pyasn1-modules pycocotools pycparser pydantic pydantic-core python-dotenv pytz rapidfuzz simplejpeg smmap \
    sqlalchemy sqlparse starlette \
    typing-extensions typing-inspection uvicorn
WHEELS_FOR := --python-version 3.12 --implementation cp $(foreach n,5 12 17 24 26 27 28 31 34,--platform \
    manylinux_2_$(n)_x86_64) --platform manylinux2014_x86_64 --platform manylinux1_x86_64
wheels: setup ## wheels/ for benchmarks/on_gpu.sh on a machine without a network (Python 3.12, Linux, x86-64)
	@rm -rf wheels && mkdir wheels
	@for name in $(WHEELS); do grep -E "^$$name==" requirements.lock | cut -d' ' -f1; done > wheels/names
	@.venv/bin/python -m pip download --quiet --no-deps --only-binary=:all: $(WHEELS_FOR) -d wheels -r wheels/names
	@du -sh wheels

MLFLOW_PORT ?= 5000
mlflow: setup ## MLflow UI on http://127.0.0.1:5000 (MLFLOW_PORT=...)
	@python -m flows.mlflowserver --port $(MLFLOW_PORT)

PREFECT_PORT ?= 4200
prefect: setup ## Prefect server and UI on http://127.0.0.1:4200 (PREFECT_PORT=...), for this user on this machine only
	@python -m flows.prefectserver --port $(PREFECT_PORT)

worker: setup ## deploy the pipeline to the Prefect work pool `tagdag` and work for it (after `make prefect`)
	@python -m flows.prefectworker

up: setup ## Prefect's server, MLflow's and a worker in the background (NIGHTLY="0 3 * * *")
	@python -m flows.up --prefect $(PREFECT_PORT) --mlflow $(MLFLOW_PORT) $(if $(NIGHTLY),--nightly "$(NIGHTLY)")

down: setup ## end what `make up` has started; runs, registry and schedules stay
	@python -m flows.down

browser: ## Chromium for the tests that need a browser (Debian, Ubuntu; as root)
	@command -v chromium chromium-browser >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; }

clean: ## forget every output, keep the data, the environment, MLflow's runs and the registry
	@test ! -d .tagdag/servers || python -m flows.down
	rm -rf out .tagdag dvc.lock

forget-runs: ## delete MLflow's runs and the registry with its champion (mlflow.db, mlruns); asks first
	@printf 'Delete mlflow.db and mlruns: every run, every registered model, the champion? [y/N] '; \
	read -r answer; \
	if [ "$$answer" = y ]; then rm -rf mlflow.db mlflow.db-* mlruns; else echo 'nothing was deleted'; fi
