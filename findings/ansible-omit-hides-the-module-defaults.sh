#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.19.14.
#
# Guess: an argument that is omitted is as one that is not written, so module_defaults gives its value.
# Seen:  the defaults are merged before the argument turns out to be omitted. The task has neither: ping, whose default is
#        "pong", answers pong, and not what module_defaults says.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.14

cat > play.yml <<'YAML'
- hosts: localhost
  gather_facts: false
  module_defaults:
    ansible.builtin.ping: {data: from-the-defaults}
  tasks:
    - ansible.builtin.ping:
      register: not_written
    - ansible.builtin.ping: {data: "{{ nothing | default(omit) }}"}
      register: omitted
    - ansible.builtin.debug:
        msg: "not written {{ not_written.ping }}, omitted {{ omitted.ping }}"
YAML
ANSIBLE_HOME="$work/home" ANSIBLE_NOCOLOR=1 venv/bin/ansible-playbook play.yml >log 2>&1 || { cat log; exit 1; }
grep -F 'not written from-the-defaults, omitted pong' log
