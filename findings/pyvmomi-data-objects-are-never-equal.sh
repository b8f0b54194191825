#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# pyVmomi 9.1.1.0.
#
# Guess: two data objects with the same content are equal, as two references to the same VM are.
# Seen:  data objects compare by identity: what was read a moment ago is never equal to what is read now, to a copy of itself, or to
#        what a program has built. A task that says "changed" when the wanted object is not the one that is there says so for ever,
#        and `in` never finds one in a list.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyvmomi==9.1.1.0

venv/bin/python - <<'CHECK'
import copy

from pyVmomi import SoapAdapter, vim


KIND = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo
ANSWER = (
    '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><AnswerResponse xmlns="urn:vim25">'
    "<returnval><deviceName>VM Network</deviceName></returnval></AnswerResponse></e:Body></e:Envelope>"
)


def read():
    return SoapAdapter.SoapResponseDeserializer(None).Deserialize(ANSWER, KIND)


one, other, built = read(), read(), KIND(deviceName="VM Network")
assert SoapAdapter.Serialize(one) == SoapAdapter.Serialize(other) == SoapAdapter.Serialize(built)
vm = [vim.VirtualMachine("vm-1") for again in range(2)]
print("a reference twice:", vm[0] == vm[1])
print("a backing read twice:", one == other, "- and built:", one == built, "- a copy:", one == copy.deepcopy(one), "- in a list:", one in [other])
assert vm[0] == vm[1]
assert one == one and one != other and one != built and one != copy.deepcopy(one) and one not in [other]
CHECK
