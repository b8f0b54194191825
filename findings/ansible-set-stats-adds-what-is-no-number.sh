#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.19.14.
#
# Guess: with aggregate (the default) set_stats adds numbers, and keeps what is no number, or refuses it.
# Seen:  whatever Python's + takes is added over the hosts: true three times is 3, and names are glued to one text. A
#        workflow that asks an artifact "is it true?" gets 3, and one that asks for a name gets "abc".
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.14

cat > play.yml <<'YAML'
- hosts: a,b,c
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.set_stats:
        data: {backup_failed: true, last_vm: "{{ inventory_hostname }}", seconds: 2}
YAML
ANSIBLE_HOME="$work/home" ANSIBLE_SHOW_CUSTOM_STATS=1 ANSIBLE_NOCOLOR=1 \
    venv/bin/ansible-playbook -i a,b,c, --forks 1 play.yml >log 2>&1 || { cat log; exit 1; }
grep -F '"backup_failed": 3, "last_vm": "abc", "seconds": 6' log
