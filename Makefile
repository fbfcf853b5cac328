# A thin front of make.py, which has the same commands on systems without make.
#   make demo [MESH=file] [PRESET=PREVIEW|BALANCED|FINE]    make test [ARGS="pytest's"]    make bench|zip|lint
PYTHON ?= python3
# By the shell, because make's own functions split a path at its spaces.
HERE := $(shell folder=$$(dirname "$(MAKEFILE_LIST)"); echo "$${folder# }")
MAKE_PY := "$(PYTHON)" "$(HERE)/make.py"

.PHONY: demo test bench zip lint

demo:
	@$(MAKE_PY) demo $(if $(MESH),"$(MESH)") $(if $(PRESET),--preset "$(PRESET)")

test:
	@$(MAKE_PY) test $(ARGS)

bench zip lint:
	@$(MAKE_PY) $@
