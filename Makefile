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
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: ## show the collection at work on a simulated vCenter; VERBOSE=1 shows Ansible's log as well
	$(DEV) demo

.PHONY: test
test: ## run every check that a change has to pass, beside each other
	$(DEV) test

.PHONY: lint go-test sanity units integration
lint: ## ruff, mypy, ansible-lint, antsibull-docs, shellcheck, gofmt
	$(DEV) test lint
go-test: ## go vet and go test of the simulator, with the race detector
	$(DEV) test vet race
sanity: ## ansible-test sanity
	$(DEV) test sanity
units: ## the unit tests by ansible-test, each in a process of its own
	$(DEV) test units
integration: ## ansible-test integration, against simulators: make integration ARGS="linked_clone secrets"
	$(DEV) test integration $(ARGS)

.PHONY: pytest
pytest: ## the unit tests by pytest, in one process: make pytest ARGS="-k find -x"
	$(DEV) pytest $(ARGS)

.PHONY: search
search: ## look for examples that break a property: make search ARGS="-n 2 -k signature"
	@VFORGE_SEARCH=1 tests/tools/python.sh tests/tools/dev.py pytest -m hypothesis $(ARGS)

.PHONY: kills
kills: ## kill backups, merges and prunes at a hundred random moments; VFORGE_KILLS_SEED=2 for other ones
	@VFORGE_KILLS=100 tests/tools/python.sh tests/tools/dev.py pytest -n 2 tests/unit/plugins/module_utils/backup/test_killed.py $(ARGS)

.PHONY: capv
capv: ## hold manifests of Cluster API against its schemas, by the code of an API server
	$(DEV) capv

.PHONY: gate-k8s
gate-k8s: ## play the roles for Cluster API against a real API server and controllers: make gate-k8s ARGS="-k dry_run -x"
	$(DEV) gate-k8s $(ARGS)

.PHONY: awx
awx: ## every flow as a job of AWX, the arguments of awx.awx, and what an execution environment installs
	$(DEV) awx

.PHONY: importer
importer: ## build the tarball and have Galaxy's own importer read it
	$(DEV) importer

.PHONY: matrix
matrix: ## sanity, units and integration on every ansible-core from 2.17 to 2.22
	$(DEV) matrix $(ARGS)

.PHONY: bench
bench: ## measure, side by side with other tools; writes the table into docs/
	$(DEV) bench $(ARGS)

.PHONY: faults
faults: ## have each call of each task and role fail in each way; writes docs/faults.md: make faults ARGS="-n 3 -k vmdk"
	$(DEV) faults $(ARGS)

.PHONY: foreign
foreign: ## run govc and modules of other collections against the simulator: make foreign ARGS="-k snapshots"
	$(DEV) foreign $(ARGS)

.PHONY: mutation
mutation: ## change the connector and the engine a little, and see whether a test notices: make mutation ARGS="--all"
	$(DEV) mutation $(ARGS)

.PHONY: soak
soak: ## many processes at once, one call in a hundred fails: make soak SECONDS=1800 PROCESSES=50 VMS=10000
	@VFORGE_SOAK_SECONDS=$(or $(SECONDS),1800) VFORGE_SOAK_PROCESSES=$(or $(PROCESSES),50) VFORGE_SOAK_VMS=$(or $(VMS),10000) \
	  tests/tools/python.sh tests/tools/dev.py pytest tests/unit/plugins/modules/test_soak.py -q -s $(ARGS)

.PHONY: docs diagrams pages
docs: ## the guides and the reference as a site, looked at in Chromium where there is one
	$(DEV) docs
diagrams: ## draw the diagrams of the guides
	$(DEV) diagrams
pages: ## write the guides that are made of the code and of README
	$(DEV) pages

.PHONY: simulator quickstart
simulator: ## start a simulated vCenter until Ctrl-C: . .build/simulator.env points a shell at it
	$(DEV) simulator $(ARGS)
quickstart: ## run the commands of the quickstart, as they stand there; ARGS=tarball installs from a built tarball
	$(DEV) quickstart $(ARGS)

.PHONY: surveys
surveys: ## write the surveys of AWX's job templates, which are made of the roles' arguments
	$(DEV) surveys

.PHONY: module
module: ## write a new module, to be changed into what it is to become: make module NAME=vm_notes
	$(DEV) module $(NAME)

.PHONY: setup
setup: ## install what is needed, pinned, into .build/
	$(DEV) setup

.PHONY: lock
lock: ## pin anew what requirements-dev.txt pulls in
	$(DEV) lock

.PHONY: clean
clean: ## remove .build/
	$(DEV) clean
