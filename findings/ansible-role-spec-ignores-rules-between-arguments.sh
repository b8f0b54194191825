#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.19.14.
#
# Guess: mutually_exclusive and required_one_of mean in a role's argument_specs.yml what they mean in a module, a default
#        is applied, and an int that was given as text becomes an int.
# Seen:  at the entry point both rules are ignored without a word; inside an option with suboptions they work. The
#        default is not applied, and "5" stays a text.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.14

mkdir -p roles/backup/meta roles/backup/tasks
cat > roles/backup/meta/argument_specs.yml <<'YAML'
argument_specs:
  main:
    mutually_exclusive: [[cluster, folder]]
    required_one_of: [[datastore, datastore_cluster]]
    options:
      cluster: {type: str}
      folder: {type: str}
      datastore: {type: str}
      datastore_cluster: {type: str}
      keep: {type: int}
      parallel: {type: int, default: 8}
      network:
        type: dict
        mutually_exclusive: [[name, moid]]
        options:
          name: {type: str}
          moid: {type: str}
YAML
cat > roles/backup/tasks/main.yml <<'YAML'
- ansible.builtin.debug:
    msg: "keep is {{ keep | type_debug }}, parallel is {{ parallel | default('not defined') }}"
YAML
cat > entry.yml <<'YAML'
- hosts: localhost
  gather_facts: false
  roles:
    - {role: backup, cluster: one, folder: two, keep: "5"}
YAML
cat > inside.yml <<'YAML'
- hosts: localhost
  gather_facts: false
  roles:
    - {role: backup, network: {name: one, moid: network-2}}
YAML

export ANSIBLE_HOME="$work/home" ANSIBLE_NOCOLOR=1
venv/bin/ansible-playbook entry.yml >entry.log 2>&1 || { cat entry.log; exit 1; }
grep -q 'keep is str, parallel is not defined' entry.log
if venv/bin/ansible-playbook inside.yml >inside.log 2>&1; then cat inside.log; exit 1; fi
grep -q 'parameters are mutually exclusive: name|moid found in network' inside.log
echo "at the entry point: neither rule acts, no default, the number stays a text; inside an option the rule acts"
