#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.19.14.
#
# Guess: in a role that runs in check mode ansible_check_mode is true.
# Seen:  it is true with --check alone. Below check_mode of a play, of a block, or of the task that includes the role it is
#        false, while each module of the role runs in check mode; and below check_mode: false it is true with --check, while
#        the modules change things. A role that goes by it reports, or goes on with, what its tasks did not do.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.14

mkdir -p roles/writes/tasks
cat > roles/writes/tasks/main.yml <<'YAML'
- ansible.builtin.copy: {content: text, dest: "{{ file }}"}
- ansible.builtin.debug: {msg: "ansible_check_mode is {{ ansible_check_mode }}"}
YAML
export ANSIBLE_HOME="$work/home" ANSIBLE_NOCOLOR=1

# The check_mode of the play, and words of the command line.
play() {
  printf '%s\n' "- hosts: localhost" "  gather_facts: false" "  check_mode: $1" "  roles:" \
    "    - {role: writes, file: $work/made}" > play.yml
  venv/bin/ansible-playbook "${@:2}" play.yml >log 2>&1 || { cat log; exit 1; }
}

play true
grep -F 'ansible_check_mode is False' log
test ! -e made

play false --check
grep -F 'ansible_check_mode is True' log
test -e made
