# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Names for what tests/tools/devtools does; everything that it makes lies in .build/.

DEV := @tests/tools/python.sh tests/tools/dev.py
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what is needed, pinned, into .build/
	$(DEV) setup

.PHONY: clean
clean: ## remove .build/
	$(DEV) clean
