#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.19.14.
#
# Guess: a secret option hides the secret. What else the module returns stays as it is.
# Seen:  the text is cut out of every value of the result, in the middle of words too, and a number that equals it is
#        replaced. With the password "credentials" the code wrong_credentials becomes wrong_********; and each value of a
#        secret mapping counts, so that {"role": "web", "cpus": 2} hides "web" and 2 wherever they stand.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.14

mkdir library
cat > library/report.py <<'MODULE'
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({"password": {"no_log": True}, "guestinfo": {"type": "dict", "no_log": True}})
module.exit_json(error_code="wrong_credentials", name="web-1", made=2, left=3)
MODULE
cat > play.yml <<'YAML'
- hosts: localhost
  gather_facts: false
  tasks:
    - report: {password: credentials, guestinfo: {role: web, cpus: 2}}
      register: told
    - ansible.builtin.debug:
        msg: "{{ told.error_code }} {{ told.name }} {{ told.made }} {{ told.left }}"
YAML
ANSIBLE_HOME="$work/home" ANSIBLE_NOCOLOR=1 venv/bin/ansible-playbook play.yml >log 2>&1 || { cat log; exit 1; }
grep -F 'wrong_******** ********-1 VALUE_SPECIFIED_IN_NO_LOG_PARAMETER 3' log
