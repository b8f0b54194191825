#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.19.14.
#
# Guess: a module that ends by exit_json has succeeded, whatever it returns.
# Seen:  a result with an `rc` other than 0 fails the task, as "Unknown error", with nothing about why. A module that
#        hands on the exit code of a program in the guest must call it something else.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.14

mkdir library
cat > library/report.py <<'MODULE'
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({"code": {"type": "int"}})
module.exit_json(changed=True, rc=module.params["code"])
MODULE
export ANSIBLE_HOME="$work/home" ANSIBLE_LIBRARY="$work/library" ANSIBLE_NOCOLOR=1
venv/bin/ansible localhost -m report -a code=0 >good.log 2>&1 || { cat good.log; exit 1; }
if venv/bin/ansible localhost -m report -a code=3 >bad.log 2>&1; then cat bad.log; exit 1; fi
grep -q 'Unknown error' bad.log
echo "exit_json with rc=0: changed; with rc=3: failed, Unknown error"
