#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# pyVmomi 9.1.1.0.
#
# Guess: an enum value that the client does not know yet, as a newer vCenter may send it, reads as its text.
# Seen:  AttributeError, and with it the whole answer is lost: 999 VMs that could be read, for one that could not.
#        No setting makes the reader lenient.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyvmomi==9.1.1.0

venv/bin/python - <<'CHECK'
from pyVmomi import SoapAdapter, vmodl

OBJECT = (
    '<objects><obj type="VirtualMachine">vm-{}</obj><propSet><name>runtime.powerState</name>'
    '<val xsi:type="VirtualMachinePowerState">{}</val></propSet></objects>'
)


def read(of_the_last):
    states = ["poweredOn"] * 999 + [of_the_last]
    answer = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        '<RetrievePropertiesExResponse xmlns="urn:vim25" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<returnval>{''.join(OBJECT.format(number, state) for number, state in enumerate(states))}</returnval>"
        "</RetrievePropertiesExResponse></e:Body></e:Envelope>"
    )
    kind = vmodl.query.PropertyCollector.RetrieveResult
    return SoapAdapter.SoapResponseDeserializer(None).Deserialize(answer, kind)


assert len(read("suspended").objects) == 1000
try:
    read("hibernated")
except AttributeError as error:
    print(f"1,000 VMs with known states: read; with one newer state among them: AttributeError: {error}")
else:
    raise SystemExit("an unknown enum value was read")
CHECK
