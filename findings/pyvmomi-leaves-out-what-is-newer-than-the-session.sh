#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# pyVmomi 9.1.1.0.
#
# Guess: a property or a device that is newer than the API version of the session raises an error, as a method does.
# Seen:  the property is left out of the request without a word, and a virtual TPM is sent as a bare VirtualDevice with a
#        key and nothing else. vCenter then carries out something else than was asked, and a task that compares sees a
#        difference for ever.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyvmomi==9.1.1.0

venv/bin/python - <<'CHECK'
from pyVmomi import SoapAdapter, vim

OLD, NEW = "vim.version.version9", "vim.version.v8_0_2_0"  # 5.5 and 8.0 U2

spec = vim.vm.ConfigSpec(name="web-1", sevEnabled=True)
assert b"<sevEnabled>true</sevEnabled>" in SoapAdapter.Serialize(spec, version=NEW)
old = SoapAdapter.Serialize(spec, version=OLD)
assert b"<name>web-1</name>" in old and b"sevEnabled" not in old

change = vim.vm.device.VirtualDeviceSpec(operation="add", device=vim.vm.device.VirtualTPM(key=11000))
assert b'<device xsi:type="VirtualTPM">' in SoapAdapter.Serialize(change, version=NEW)
assert b"<device><key>11000</key></device>" in SoapAdapter.Serialize(change, version=OLD)
print("5.5: sevEnabled is left out, VirtualTPM becomes a bare device; no error")
CHECK
