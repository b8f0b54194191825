#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.19.14.
#
# Guess: a play that uses one filter of a collection imports the file of that filter.
# Seen:  every file in plugins/filter of the collection is imported, in each worker that templates with one of them. A filter
#        whose file imports a large library makes all the others slow.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.14

filters=collections/ansible_collections/acme/tools/plugins/filter
mkdir -p "$filters"
printf 'namespace: acme\nname: tools\nversion: 1.0.0\nreadme: README.md\nauthors: [acme]\n' \
  > collections/ansible_collections/acme/tools/galaxy.yml
for name in used unused; do
  cat > "$filters/$name.py" <<PYTHON
import os
open(os.environ["SEEN"], "a").write("$name\n")

class FilterModule:
    def filters(self):
        return {"$name": str.upper}
PYTHON
done
cat > play.yml <<'YAML'
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: "{{ 'one' | acme.tools.used }}"}
YAML
export SEEN="$work/seen" ANSIBLE_COLLECTIONS_PATH="$work/collections" ANSIBLE_HOME="$work/home" ANSIBLE_NOCOLOR=1
venv/bin/ansible-playbook play.yml >log 2>&1 || { cat log; exit 1; }
grep -F '"msg": "ONE"' log
grep -qx used seen
grep -x unused seen | sort -u
