#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.18.19 with PyYAML 6.0.3.
#
# Guess: str() makes a plain text of a value that an action plugin gets, as of any subclass of str, so that PyYAML's safe dumper
#        writes it.
# Seen:  str() of a text that came from a task's result is still Ansible's own class, since its __str__ returns itself; so are
#        slices of it. The safe dumper cannot represent it; json writes it. str.__str__(value) is plain, and "".join([value]).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.18.19 PyYAML==6.0.3

cat > plain.py <<'PYTHON'
import json

import yaml
from ansible.utils.unsafe_proxy import wrap_var

text = wrap_var("10.0.0.5:6443")
print(*(type(made).__name__ for made in (str(text), text[:8], "".join([text]), str.__str__(text))))
try:
    yaml.safe_dump(str(text))
except yaml.representer.RepresenterError as error:
    print(error.args[0])
print(json.dumps(text), yaml.safe_dump(str.__str__(text)).splitlines()[0])
PYTHON
venv/bin/python plain.py > seen
cat seen

diff seen - <<'SEEN'
AnsibleUnsafeText AnsibleUnsafeText str str
cannot represent an object
"10.0.0.5:6443" 10.0.0.5:6443
SEEN
