#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.19.14.
#
# Guess: a task that runs into its `timeout` is over: its module was ended, and `rescue` cleans up behind it.
# Seen:  only the wait for the module is over. The module goes on beside `rescue` and behind the end of the play: what
#        it makes after that, nobody hears of. (The module here makes a line a second, for eight seconds at the most.)
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.14

cat > play.yml <<'YAML'
- hosts: localhost
  gather_facts: false
  tasks:
    - block:
        - ansible.builtin.command:
            argv: [sh, -c, 'for i in 1 2 3 4 5 6 7 8; do echo "made $i" >> "$0"; sleep 1; done', "{{ made }}"]
          timeout: 2
      rescue:
        - ansible.builtin.debug:
            msg: "at rescue there were {{ lookup('file', made).splitlines() | length }}"
YAML
ANSIBLE_HOME="$work/home" ANSIBLE_NOCOLOR=1 \
    venv/bin/ansible-playbook play.yml -e "made=$work/made" >log 2>&1 || { cat log; exit 1; }
grep -q 'Timed out after 2 second' log
at_rescue=$(sed -n 's/.*at rescue there were \([0-9]*\).*/\1/p' log)
sleep 9
in_the_end=$(wc -l <made)
echo "made when the rescue ran: $at_rescue; made in the end: $in_the_end"
[ "$at_rescue" -lt 8 ] && [ "$in_the_end" -eq 8 ]
