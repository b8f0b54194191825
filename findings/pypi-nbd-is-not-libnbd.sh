#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# nbd 0.2, from PyPI.
#
# Guess: libnbd's Python module is imported as nbd, and a program that misses it is mended by "pip install nbd".
# Seen:  that package is a tool that compares notebooks. "import nbd" then succeeds, and nbd.NBD is missing. libnbd itself
#        is on no package index: distributions have it as python3-libnbd, for their own Python.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-deps nbd==0.2

venv/bin/python -c 'import nbd; print("imported, NBD there:", hasattr(nbd, "NBD"))' | tee seen
grep -Fx 'imported, NBD there: False' seen
venv/bin/pip show nbd 2>/dev/null | grep -F 'notebook diffing'
