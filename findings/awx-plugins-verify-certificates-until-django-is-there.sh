#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# awx-plugins-core 0.2.0a0, Django 5.2.8. What else is installed is imported, and not declared as needed.
#
# Guess: AWX's own injector of the vCenter credential gives a test the environment that a job gets.
# Seen:  VMWARE_VALIDATE_CERTS is no part of the credential, but a setting of AWX. Where Django is not installed the
#        injector says True; where Django is installed for whatever else, it raises ImproperlyConfigured; in AWX it says
#        what the administrator has set. So a test of a job shows TLS verified that the job does not verify, until it
#        sets the answer itself.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check awx-plugins-core==0.2.0a0 awx-plugins.interfaces==0.0.1a5 PyYAML==6.0.3

cat > inject.py <<'PY'
from awx_plugins.credentials import injectors


class Credential:
    def get_input(self, name, default=""):
        return default


environment = {}
injectors.vmware(Credential(), environment, "/tmp")
print("VMWARE_VALIDATE_CERTS is", environment["VMWARE_VALIDATE_CERTS"])
PY

venv/bin/python inject.py | tee alone
grep -qx "VMWARE_VALIDATE_CERTS is True" alone

venv/bin/pip install --quiet --disable-pip-version-check Django==5.2.8
! venv/bin/python inject.py 2>beside || exit 1
tail -n 1 beside | cut -c1-110
grep -q "ImproperlyConfigured: Requested setting VMWARE_VALIDATE_CERTS" beside

sed -i '1i from django.conf import settings\nsettings.configure(VMWARE_VALIDATE_CERTS=False)' inject.py
venv/bin/python inject.py | tee set
grep -qx "VMWARE_VALIDATE_CERTS is False" set
