# The two commands of the README: `make demo` and `make test`.
VENV := .venv
PYTHON := $(VENV)/bin/python
DEMO := output/demo
SCALE := .venv-scale
MILVUS := .venv-milvus
MINIMUM := .venv-minimum

.PHONY: demo test test-slow test-scale test-minimum gallery format

demo: $(VENV)/installed
	$(PYTHON) train_autoencoder.py --model $(DEMO)/autoencoder.keras \
	    --vis $(DEMO)/recon_vis.png --plot $(DEMO)/plot.png \
	    --objective neighbours --schedule fast --epochs 3
	$(PYTHON) index_images.py --model $(DEMO)/autoencoder.keras --index $(DEMO)/index.pickle \
	    --metric cosine
	$(PYTHON) search.py --index $(DEMO)/index.pickle --sample 5 --seed 1 --output $(DEMO)
	$(PYTHON) search.py --index $(DEMO)/index.pickle --evaluate
	@echo "Look at the montages in $(DEMO)/, results_0.png to results_4.png."

test: $(VENV)/installed
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest -n 2 --dist worksteal

test-slow: $(VENV)/installed
	$(PYTHON) -m pytest -m slow

# Milvus and Ray are tested in environments and processes of their own: the tests start and kill
# servers, and a Ray cluster does not always start in a process that has been a client of Milvus. Only
# the files with such tests are imported: Milvus Lite fails beside what the others import.
test-scale: $(SCALE)/installed $(MILVUS)/installed
	$(SCALE)/bin/python -m pytest -m ray $$(grep -l mark.ray tests/test_*.py)
	$(SCALE)/bin/python -m pytest -m milvus $$(grep -l mark.milvus tests/test_*.py)

# The oldest versions that requirements.txt allows.
test-minimum: $(MINIMUM)/installed
	$(MINIMUM)/bin/python -m pytest -n 2 --dist worksteal

# The pictures of docs/gallery.md. That of the window needs Xvfb, that of the page Chromium.
gallery: $(VENV)/installed
	PYTHONPATH=. $(PYTHON) docs/make_gallery.py

format: $(VENV)/installed
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

$(VENV)/installed: requirements.txt tests/requirements.txt
	python3 -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement requirements.txt --requirement tests/requirements.txt
	touch $@

$(MINIMUM)/installed: requirements.txt constraints-minimum.txt tests/requirements.txt
	python3 -m venv $(MINIMUM)
	$(MINIMUM)/bin/pip install --quiet --requirement requirements.txt \
	    --requirement tests/requirements.txt --constraint constraints-minimum.txt
	touch $@

$(SCALE)/installed: requirements.txt requirements-scale.txt tests/requirements.txt
	python3 -m venv $(SCALE)
	$(SCALE)/bin/pip install --quiet --requirement requirements.txt \
	    --requirement requirements-scale.txt --requirement tests/requirements.txt
	touch $@

$(MILVUS)/installed: tests/requirements-milvus.txt
	python3 -m venv $(MILVUS)
	$(MILVUS)/bin/pip install --quiet --requirement tests/requirements-milvus.txt
	touch $@
