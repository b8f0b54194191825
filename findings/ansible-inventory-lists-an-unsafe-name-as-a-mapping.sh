#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.18.19.
#
# Guess: an inventory plugin that marks all texts from elsewhere as unsafe, as it should, makes an inventory that AWX and
#        scripts can read with `ansible-inventory --list`.
# Seen:  playbooks run with it. In the list, though, the name of a host in its group is a mapping, {"__ansible_unsafe":
#        "web-1"}, where the format has a text, and beside it the same name is a key of hostvars as it should be.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.18.19
mkdir inventory_plugins
cat > inventory_plugins/elsewhere.py <<'PYTHON'
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.utils.unsafe_proxy import wrap_var


class InventoryModule(BaseInventoryPlugin):
    NAME = "elsewhere"

    def verify_file(self, path):
        return True

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        name = wrap_var("web-1")
        inventory.add_host(name)
        inventory.set_variable(name, "cores", 2)
PYTHON
touch vms.yml
ANSIBLE_HOME="$work/home" ANSIBLE_INVENTORY_ENABLED=elsewhere ANSIBLE_INVENTORY_PLUGINS="$work/inventory_plugins" \
    venv/bin/ansible-inventory -i vms.yml --list > list.json
venv/bin/python -c 'import json; found = json.load(open("list.json")); print(found["ungrouped"]["hosts"], found["_meta"]["hostvars"])' > seen
cat seen

diff seen - <<'SEEN'
[{'__ansible_unsafe': 'web-1'}] {'web-1': {'cores': 2}}
SEEN
