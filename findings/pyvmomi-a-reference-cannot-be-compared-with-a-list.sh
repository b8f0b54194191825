#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# pyvmomi 9.1.1.0.
#
# Guess: a value of any property can be compared with an empty list, to leave out what is unset or empty: a reference to
#        a managed object is not equal to one.
# Seen:  the comparison raises AttributeError, since a reference asks whatever it is compared with for its own ID. It does
#        not with None, and data objects do not do so at all.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyvmomi==9.1.1.0

cat > compare.py <<'PYTHON'
from pyVmomi import vim

host = vim.HostSystem("host-1")
print("with None:", host != None)  # noqa: E711
print("a data object:", vim.Description(label="a", summary="b") != [])
try:
    print("with a list:", host != [])
except AttributeError as error:
    print("with a list:", error)
PYTHON
venv/bin/python compare.py | tee log
grep -Fx "with None: True" log
grep -Fx "a data object: True" log
grep -Fx "with a list: 'list' object has no attribute '_moId'" log
