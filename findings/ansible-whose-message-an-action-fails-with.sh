#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.20.10 and 2.21.5. Needs Python 3.13.
#
# Guess: an action plugin that raises AnsibleActionFail("why", result=what the module returned) fails with "why".
# Seen:  up to 2.20 it does. From 2.21 on the msg of the result is what the task fails with, and "why" is not shown.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

mkdir action_plugins
cat > action_plugins/failing.py <<'PYTHON'
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        raise AnsibleActionFail("of the exception", result={"msg": "of the result"})
PYTHON
cat > play.yml <<'YAML'
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - failing:
      register: failed
      ignore_errors: true
    - ansible.builtin.debug:
        msg: "seen: {{ failed.msg }}"
YAML
for version in 2.20.10 2.21.5; do
    python3.13 -m venv "$version"
    "$version/bin/pip" install --quiet --disable-pip-version-check "ansible-core==$version"
    ANSIBLE_HOME="$work/home" ANSIBLE_NOCOLOR=1 "$version/bin/ansible-playbook" -i localhost, play.yml 2>/dev/null |
        sed -n "s/^ *\"msg\": \"seen: \(.*\)\"/$version: \1/p"
done > seen
cat seen

diff seen - <<'SEEN'
2.20.10: of the exception
2.21.5: of the result
SEEN
