# Each target makes the virtual environment when it is missing: `git clone` and `make demo` are all the set-up there is.
VENV ?= .venv
PYTHON ?= python3
OUT ?= out
SITE ?= site
BIN := $(VENV)/bin
DATASET ?= mmcr-310k
BENCH ?= mmcr-bench

.PHONY: .venv demo test test-slow check docs bench clean

.venv: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# The whole way of the paper on shipped photographs: no Hub, no key, minutes on two CPU cores.
demo: export HF_HUB_OFFLINE = 1
demo: export TOKENIZERS_PARALLELISM = false
demo: $(VENV)/installed
	rm -rf $(DATASET) $(DATASET).work $(BENCH) $(OUT)
	$(BIN)/python -m mmcr_dataset build --source demo --output_dir $(DATASET) --writer offline --filter labels --similarity_min 0.2
	$(BIN)/python -m mmcr_bench build $(DATASET) --output_dir $(BENCH) --single 4 --multi 2
	$(BIN)/python -c 'from datasets import load_dataset; print(load_dataset("$(DATASET)"))'
	$(BIN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no train.py \
		--config training/recipes/tiny_cpu.yaml --data $(DATASET) --output_dir $(OUT)/tiny_cpu
	$(BIN)/python -m eval_tasks --model hf:$(OUT)/tiny_cpu/base --tasks mmcr_bench --data $(BENCH) --judge offline \
		--max_new_tokens 64 --output_dir $(OUT)/base
	$(BIN)/python -m eval_tasks --model hf:$(OUT)/tiny_cpu/final --tasks mmcr_bench --data $(BENCH) --judge offline \
		--max_new_tokens 64 --output_dir $(OUT)/tuned
	$(BIN)/python -m eval_tasks compare $(OUT)/base $(OUT)/tuned
	$(BIN)/python -m eval_tasks report $(OUT)/base $(OUT)/tuned --html $(OUT)/report.html \
		--dataset $(DATASET) --bench $(BENCH) --training $(OUT)/tiny_cpu

# One worker a core; torch in a worker takes one thread, or the workers would fight for the cores.
test: export OMP_NUM_THREADS = 1
test: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow --timeout 1200

check: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The site: guides, measured numbers, reference from the docstrings. A warning is an error; nothing is fetched.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir $(SITE)

bench: $(VENV)/installed
	for name in dataset_parquet dataset_generate training_collate eval_api bench_review_page; do \
		$(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf $(SITE) $(OUT) $(DATASET) $(DATASET).work $(BENCH)
