#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.19.14.
#
# Guess: an option that is null is one that is not given, as `default(none)` is often meant.
# Seen:  it is given. A null counts against mutually_exclusive; for a text that has a default it is "" and not the default, and in a
#        list of texts it is "" as well; with choices, and for an int that has a default, the task fails. Only an option that is none
#        of these has no value then.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.14

mkdir library
cat > library/find.py <<'MODULE'
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule(
    {
        "name": {"type": "str"},
        "moid": {"type": "str"},
        "disk": {"type": "str", "default": "thin"},
        "power": {"type": "str", "choices": ["on", "off"]},
        "cpus": {"type": "int", "default": 2},
        "tags": {"type": "list", "elements": "str"},
    },
    mutually_exclusive=[["name", "moid"]],
)
module.exit_json(told={name: repr(module.params[name]) for name in ("name", "disk", "tags")})
MODULE
cat > play.yml <<'YAML'
- hosts: localhost
  gather_facts: false
  tasks:
    - find: {name: null, disk: null, tags: [one, null]}
      register: passed
    - ansible.builtin.debug: {msg: "passed: {{ passed.told.values() | join(', ') }}"}
    - find: {name: web, moid: null}
      register: exclusive
      ignore_errors: true
    - find: {name: web, power: null}
      register: choices
      ignore_errors: true
    - find: {name: web, cpus: null}
      register: number
      ignore_errors: true
    - ansible.builtin.debug: {msg: "refused: {{ item }}"}
      loop: ["{{ exclusive.msg }}", "{{ choices.msg }}", "{{ number.msg }}"]
      loop_control: {label: refused}
YAML
ANSIBLE_HOME="$work/home" ANSIBLE_NOCOLOR=1 venv/bin/ansible-playbook play.yml >log 2>&1 || { cat log; exit 1; }
grep -F "passed: None, '', ['one', '']" log
grep -F 'refused: parameters are mutually exclusive: name|moid' log
grep -F 'refused: value of power must be one of: on, off, got: None' log
grep -F "refused: argument 'cpus' is of type NoneType" log
