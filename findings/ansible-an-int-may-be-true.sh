#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.19.14 with pyVmomi 9.1.1.0.
#
# Guess: an option of type int is an int in the module, or the task fails; and pyVmomi takes no boolean for a number.
# Seen:  `cpus: true` passes both. ansible-core leaves True as it is, a comparison such as 1 <= True <= 64 holds, pyVmomi checks
#        nothing since Python's bool is an int, and <numCPUs>true</numCPUs> goes to vCenter, which cannot read the request.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.14 pyvmomi==9.1.1.0

mkdir library
cat > library/size.py <<'MODULE'
from ansible.module_utils.basic import AnsibleModule
from pyVmomi import SoapAdapter, vim

module = AnsibleModule({"cpus": {"type": "int"}})
cpus = module.params["cpus"]
sent = SoapAdapter.Serialize(vim.vm.ConfigSpec(numCPUs=cpus)).decode()
module.exit_json(told=f"{type(cpus).__name__}, within 1 to 64: {1 <= cpus <= 64}, sent: {sent[sent.index('><') + 1 :]}")
MODULE
cat > play.yml <<'YAML'
- hosts: localhost
  gather_facts: false
  tasks:
    - size: {cpus: true}
      register: size
    - ansible.builtin.debug: {var: size.told}
YAML
ANSIBLE_HOME="$work/home" ANSIBLE_NOCOLOR=1 venv/bin/ansible-playbook play.yml >log 2>&1 || { cat log; exit 1; }
grep -F 'bool, within 1 to 64: True, sent: <numCPUs>true</numCPUs>' log
