# What a person or CI runs. Everything happens in .venv, which is made when it is missing or outdated.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: up test bench lint browser registry homes cluster cluster-down clean images help

help:  ## say what there is
	@sed -n 's/^\([a-z-]*\):.*##/  make \1  /p' $(MAKEFILE_LIST)

up: $(READY)  ## run the whole hub on this machine; pass options as ARGS="--port 8001"
	@$(BIN)/scalablehub up $(ARGS)

test: $(READY) browser registry homes  ## run every test, against each supported JupyterHub and Python that is here
	@$(BIN)/nox

bench: $(READY)  ## measure, print a table, and store it as JSON
	@$(BIN)/python -m tests.bench $(ARGS)

images: $(READY)  ## build the images of the Kubernetes tests, and print their names and sizes
	@$(BIN)/python -m tests.kubernetes.images $(ARGS)

lint: $(READY)  ## check style and types
	@$(BIN)/nox -s lint

browser:  ## have Chromium for the browser tests
	@command -v chromium >/dev/null || { \
	  echo "  Installing Chromium …"; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	  else echo "  Chromium is missing: install the package 'chromium'; its tests are skipped without it."; fi; }

registry:  ## have a container registry for the tests of images
	@# Only its program: the package would have it listen for everybody.
	@command -v docker-registry >/dev/null || { \
	  echo "  Installing a container registry …"; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get download -qq docker-registry && \
	    dpkg --fsys-tarfile docker-registry_*.deb | tar -x -C / ./usr/bin/docker-registry; rm -f docker-registry_*.deb; \
	  else echo "  It is missing: install the package 'docker-registry'; its tests are skipped without it."; fi; }

homes:  ## have what the tests of full homes need: a shell with its own tools, and small file systems
	@command -v busybox >/dev/null && command -v mkfs.ext4 >/dev/null || { \
	  echo "  Installing busybox and e2fsprogs …"; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends busybox-static e2fsprogs >/dev/null; \
	  else echo "  They are missing: install 'busybox-static' and 'e2fsprogs'; their tests are skipped without them."; fi; }

cluster: $(READY)  ## bring up the Kubernetes cluster of the tests, as root
	@$(BIN)/python -m tests.kubernetes.cluster up

cluster-down: $(READY)  ## end it; with ARGS=--wipe also remove its state
	@$(BIN)/python -m tests.kubernetes.cluster down $(ARGS)

clean:  ## remove what was made, but not anybody's data
	rm -rf $(VENV) .nox build dist *.egg-info

$(READY): setup.cfg pyproject.toml
	@echo "  Preparing $(VENV) (once; a few minutes) …"
	@$(PYTHON) -c 'import sys; sys.exit("scalablehub needs Python 3.11 or newer; choose one with PYTHON=…" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --python $(BIN)/python --editable '.[local,kubernetes,test]'
	@touch $@
