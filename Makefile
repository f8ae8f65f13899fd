# One command each. Everything is installed into .venv from requirements/lock.txt; nothing outside this folder is touched.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
UV_VERSION := 0.13.8
ROOMS := api plan render observe status
TYPED := tunewright tunewright_contract tunewright_runtime tunewright_server tunewright_trainer
# One more worker than two cores: tests of controllers wait more than they compute. tests/support/sharing.py decides which worker runs what.
WORKERS ?= 3
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS)
PURE_TESTS := $(addprefix tests/,$(ROOMS))
QUICK_TESTS := $(addprefix tests/,cli cluster house kube prose reconcile runtime)

.PHONY: help demo test coverage quick thorough check workflows setup doctor test-cluster cluster cluster-demo format crds chart readme lock images test-images clean
help:  ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

demo: setup  ## run a FineTuneJob from its manifest to a served answer, on this machine
	$(BIN)/tunewright run examples/quickstart.yaml

test: coverage test-cluster test-images  ## run all tests but the thorough ones
	$(PYTEST) $(addprefix --ignore=,$(PURE_TESTS))

coverage: setup  ## check that the pure rooms' own tests reach every line and branch
	$(PYTEST) -q $(PURE_TESTS) $(foreach r,$(ROOMS),--cov=tunewright.$(r)) --cov-branch --cov-fail-under=100

quick: coverage  ## run the tests that need no cluster and train no model
	$(PYTEST) -q $(QUICK_TESTS)

thorough: test  ## run all tests, with the matrices, the repeats in pods, and the tests of two nodes and of the test cluster; hours
	$(BIN)/python tests/cluster policies
	$(BIN)/python tests/cluster kstatus
	$(BIN)/python tests/cluster argocd
	$(PYTEST) -m "matrix or harness or repeat or two_nodes or gitops"

check: setup  ## lint, types, import direction, generated files; under a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(foreach p,$(TYPED),-p $(p))
	$(BIN)/lint-imports
	$(BIN)/python tools/crds.py --check
	$(BIN)/python tools/readme.py --check
	$(BIN)/python tools/chart.py --check
	$(BIN)/python tools/house.py
	$(BIN)/python tools/names.py
	$(BIN)/python tools/prose.py
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory workflows; else echo "workflows are not linted: that needs Go"; fi

workflows:  ## lint .github/workflows
	cd tools/actionlint && go tool actionlint ../../.github/workflows/*.yml

setup: doctor .venv/.installed .venv/.ops  ## install everything into .venv

doctor:  ## list what this machine lacks, with the command that installs it
	@test -n "$(PYTHON)" || { echo "missing: Python 3.11 or newer. Bring it, or name it: make PYTHON=/path/to/python3.11 demo" >&2; exit 1; }
	@$(PYTHON) tools/doctor.py

.venv/.installed: requirements/lock.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements/lock.txt
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps -e .
	touch $@

.venv/.ops: .venv/.installed
	$(BIN)/python -m tunewright_trainer prebuild
	touch $@

test-cluster: .venv/.installed  ## build Kubernetes, etcd, helm and CoreDNS for the tests from Go modules, once (minutes)
	$(BIN)/python tests/cluster build

cluster: .venv/.installed  ## open a shell with kubectl and helm on a test cluster: a whole node as root, otherwise a control plane
	$(BIN)/python tests/cluster shell

cluster-demo: .venv/.installed  ## run the quickstart in pods: helm install, kubectl apply, an answer; needs root
	$(BIN)/python tests/cluster demo

format:  ## format the code and apply automatic fixes
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

crds: .venv/.installed  ## generate crds/ from operator/src/tunewright/api
	$(BIN)/python tools/crds.py
	$(BIN)/python tools/chart.py

chart: .venv/.installed  ## generate the chart's CRD, deploy/install.yaml and the table of its values
	$(BIN)/python tools/chart.py

readme: .venv/.installed  ## generate the README's list of unsupported fields and docs/capabilities.md
	$(BIN)/python tools/readme.py

lock:  ## resolve the dependencies again, for development and for each image
	$(BIN)/python tools/lock.py

images: .venv/.installed  ## build the images as archives if their inputs changed (docs/images.md)
	$(BIN)/python tools/images.py build

test-images: .venv/.installed
	TUNEWRIGHT_BASE_IMAGE=$${TUNEWRIGHT_BASE_IMAGE:-debian} $(BIN)/python tools/images.py build --optional

clean:  ## remove everything that was installed and built
	rm -rf .venv .cache
