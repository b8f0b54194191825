#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.21.5 and 2.22.0rc1. Needs Python 3.13.
#
# Guess: a module that has come by a secret, such as the token of a session, adds it to module.no_log_values, and takes out of
#        it what is none; what it returns is masked by that set.
# Seen:  up to 2.21 it is. 2.22 still has the set, and never looks at it: the secret is shown, and what was taken out is
#        masked. ansible.module_utils.secrets.register_secret() does it, and nothing takes a text out.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

mkdir library
cat > library/logs_in.py <<'PYTHON'
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule(argument_spec={"password": {"type": "str", "no_log": True}})
module.no_log_values.add("token-of-the-session")
module.no_log_values.discard("golden")
module.exit_json(says="token-of-the-session of golden-web")
PYTHON
cat > play.yml <<'YAML'
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - logs_in:
        password: golden
      register: seen
    - ansible.builtin.debug:
        msg: "{{ seen.says }}"
YAML
for version in 2.21.5 2.22.0rc1; do
    python3.13 -m venv "$version"
    "$version/bin/pip" install --quiet --disable-pip-version-check "ansible-core==$version"
    ANSIBLE_HOME="$work/home" ANSIBLE_NOCOLOR=1 "$version/bin/ansible-playbook" -i localhost, play.yml 2>/dev/null |
        sed -n "s/^ *\"msg\": /$version: /p"
done > seen
cat seen

diff seen - <<'SEEN'
2.21.5: "******** of golden-web"
2.22.0rc1: "token-of-the-session of $REDACTED$-web"
SEEN
