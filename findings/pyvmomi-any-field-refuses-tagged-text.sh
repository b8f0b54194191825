#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# pyVmomi 9.1.1.0 with ansible-core 2.19.14.
#
# Guess: a text that Ansible hands to a plugin is a str, so it goes into any field of a vSphere spec that takes a text.
# Seen:  from ansible-core 2.19 on such a text is of a subclass of str. A field of type string takes it
#        (ConfigSpec.name); one of type "any" (OptionValue.value: extraConfig, guestinfo, vApp properties) raises
#        AttributeError: it has no attribute '_version'. str(text) does not help to see it: both print the same.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyvmomi==9.1.1.0 ansible-core==2.19.14

venv/bin/python - <<'CHECK'
from ansible._internal._datatag._tags import Origin
from pyVmomi import vim

text = Origin(description="a play").tag("web-1")
assert isinstance(text, str) and text == "web-1" and type(text) is not str

assert vim.vm.ConfigSpec(name=text).name == "web-1"
try:
    vim.option.OptionValue(key="guestinfo.hostname", value=text)
except AttributeError as error:
    print(f"typed field: taken; field of type any: AttributeError: {error}")
else:
    raise SystemExit("the field of type any took a subclass of str")
CHECK
