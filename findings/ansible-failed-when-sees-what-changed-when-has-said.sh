#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.19.14.
#
# Guess: a task that only looks (check_mode: true, changed_when: false) fails by failed_when where something would be changed.
# Seen:  it never does. What changed_when says is put into the registered result before failed_when looks at it, so that
#        "changed" is false there, whatever the module has returned. The keyword that hides the look hides what it saw.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.14
export ANSIBLE_HOME="$work/home" ANSIBLE_NOCOLOR=1

# A file that is not there would be made. Each further argument is one more keyword of the task.
play() {
  printf '%s\n' "- hosts: localhost" "  gather_facts: false" "  tasks:" "    - ansible.builtin.copy: {content: text, dest: $work/made}" \
    "      check_mode: true" "      register: looked" "      failed_when: looked.changed" "${@/#/      }" > play.yml
  venv/bin/ansible-playbook play.yml >log 2>&1 && echo passed || echo failed
}

test "$(play)" = failed
test "$(play 'changed_when: false')" = passed
test ! -e made
