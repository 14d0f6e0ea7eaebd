# make demo   watch a lifted network train beside scikit-learn's MLP, then continue in PyTorch
# make test   every check: format, lints, Rust tests, build, Python tests, stubs, notebooks
# make docs   the site, into docs/_build/html; notebooks run once, and again where they changed
# make bench  comparisons with scikit-learn, PyTorch, SciPy and published block descent; lifted
#             weights as a start for PyTorch; rate, growth, memory, stability, noise, dropout.
#             Writes docs/benchmarks.md (three to four hours; QUICK=1: reduced runs, docs/ left
#             alone)
# make wheel  a wheel that needs nothing of another machine's, in dist/
#
# Parts of make test: lint, test-rust, test-python, test-wheel (the wheel in an empty
# environment). Beyond it: test-sdist (the source distribution in an empty environment),
# test-versions (the wheel with every supported scikit-learn, old and new NumPy, each Python
# at hand; half an hour).
#
# Each does its own set-up, from a fresh clone and again only where something changed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
RUST_SOURCES := Cargo.toml Cargo.lock build.rs $(shell find src -name '*.rs')
PACKAGE := pyproject.toml README.md LICENSE $(shell find python -name '*.py*' -not -name '*.pyc')

RESULTS := benchmarks/results$(if $(QUICK),/quick)
PAGE := $(if $(QUICK),$(RESULTS),docs)/benchmarks.md
measure = $(BIN)/python benchmarks/$(1).py $(if $(QUICK),--quick) --json $(RESULTS)/$(or $(2),$(1)).json
figure = --figure $(dir $(PAGE))figures/$(1).png

export PYTHONDONTWRITEBYTECODE := 1

# What the tests of a package take: no PyTorch, no pictures, a minute.
QUICK_NEEDS := pytest hypothesis pandas
QUICK_TESTS := $(patsubst %,tests/test_%.py,classifier regressor sklearn_checks)
# Cargo would ask for its threads the make that runs it, whose pipes it has not got.
alone = env -u MAKEFLAGS -u MFLAGS
apart = env -u PYTHONPATH -u LD_LIBRARY_PATH

.PHONY: demo test docs bench wheel setup lint test-rust test-python test-wheel test-sdist \
	test-versions clean

demo: $(STAMPS)/build
	$(BIN)/python benchmarks/demo.py --figure docs/figures/demo.png

# While packages are fetched the processors are free for Rust; much of a lint is on one.
test:
	$(MAKE) --jobs 2 $(STAMPS)/packages test-rust
	$(MAKE) --jobs 2 lint $(STAMPS)/build
	$(MAKE) test-python test-wheel

docs: $(STAMPS)/build
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

# Those that need MNIST say so where it is missing, and the others go on.
bench: $(STAMPS)/build
	$(call measure,tables) $(call figure,tables)
	$(call measure,kernels)
	$(call measure,micro)
	$(call measure,rate)
	$(call measure,scaling) $(call figure,scaling)
	$(call measure,memory)
	$(call measure,stability)
	$(call measure,grid_search)
	-$(call measure,time_to_accuracy) --pca $(call figure,time_to_accuracy)
	-$(call measure,time_to_accuracy,larger_networks) --hidden 512,512 1024,1024 $(call figure,larger_networks)
	-$(call measure,block_descent)
	-$(call measure,robustness)
	-$(call measure,regularisation)
	-$(call measure,initialisation) $(call figure,initialisation)
	$(BIN)/python benchmarks/report.py --results $(RESULTS) --page $(PAGE)

setup: $(STAMPS)/build

lint: $(STAMPS)/packages
	cargo fmt --check
	cargo fmt --check --manifest-path benchmarks/micro/Cargo.toml
	$(alone) cargo clippy --locked --all-targets --quiet -- -D warnings
	$(alone) PYO3_PYTHON=$(abspath $(BIN)/python) cargo clippy --locked --features python --quiet -- -D warnings
	$(BIN)/ruff format --check --quiet python tests benchmarks notebooks docs tools
	$(BIN)/ruff check --quiet python tests benchmarks notebooks docs tools

test-rust: $(STAMPS)/system
	$(alone) cargo test --locked --quiet

# As many workers as processors. OpenMP and BLAS of each keep to one thread; tests/conftest.py
# then lifts the cap from liftnet's own.
test-python: $(STAMPS)/build
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses auto --dist worksteal

# The manylinux tag is that of this machine's glibc.
wheel: dist/.built

dist/.built: $(STAMPS)/build tools/wheel.py tools/third_party.py $(PACKAGE)
	$(BIN)/python tools/wheel.py
	touch $@

test-wheel: dist/.built
	$(BIN)/python tools/fresh.py target/fresh/wheel dist/liftnet-*.whl $(QUICK_NEEDS)
	$(apart) target/fresh/wheel/bin/python -P tools/installed.py --bundled
	$(apart) target/fresh/wheel/bin/python -P -m pytest -q $(QUICK_TESTS)

test-versions: dist/.built
	$(BIN)/python tools/versions.py $(QUICK_TESTS)

test-sdist: $(STAMPS)/packages
	rm -rf target/fresh/source
	mkdir -p target/fresh/source
	rm -f dist/liftnet-*.tar.gz
	$(BIN)/maturin sdist --out dist
	tar xf dist/liftnet-*.tar.gz -C target/fresh/source
	CARGO_TARGET_DIR=$(abspath target/sdist) $(BIN)/python tools/fresh.py target/fresh/sdist \
		target/fresh/source/liftnet-*
	$(apart) target/fresh/sdist/bin/python -P tools/installed.py

# The system's side: a compiler, Rust, OpenBLAS, Python. Installs what is missing where it may.
$(STAMPS)/system: tools/system.sh
	tools/system.sh "$(PYTHON)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMPS)
	touch $@

$(STAMPS)/packages: $(STAMPS)/system pyproject.toml tools/requirements.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$($(BIN)/python tools/requirements.py test)
	touch $@

$(STAMPS)/build: $(STAMPS)/packages $(RUST_SOURCES)
	$(alone) $(BIN)/maturin develop --release --locked --quiet
	touch $@

clean:
	rm -rf $(VENV) target dist
