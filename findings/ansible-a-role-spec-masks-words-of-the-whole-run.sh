#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-core 2.21.5 and 2.22.0rc1. Needs Python 3.13.
#
# Guess: no_log in the argument spec of a role is for the documentation, since a role has no log: what the role shows does
#        not change with it.
# Seen:  up to 2.21 that is so. 2.22 looks for each value of such an option, and for each text in a mapping, in all that the
#        run shows from then on: with a role variable {"hostname": "web-1"} that has no_log, a later task that has nothing to
#        do with the role shows another name for the VM web-1, and web-10 becomes $REDACTED$0.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

mkdir -p roles/clones/meta roles/clones/tasks
cat > roles/clones/meta/argument_specs.yml <<'YAML'
argument_specs:
  main:
    options:
      clones_guestinfo: {type: dict, no_log: true}
YAML
echo '[]' > roles/clones/tasks/main.yml
cat > play.yml <<'YAML'
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: clones
      vars:
        clones_guestinfo: {hostname: web-1}
    - ansible.builtin.debug:
        msg: web-10 was made beside web-1
YAML
for version in 2.21.5 2.22.0rc1; do
    python3.13 -m venv "$version"
    "$version/bin/pip" install --quiet --disable-pip-version-check "ansible-core==$version"
    ANSIBLE_HOME="$work/home" ANSIBLE_NOCOLOR=1 "$version/bin/ansible-playbook" -i localhost, play.yml |
        sed -n "s/^ *\"msg\": /$version: /p"
done > seen
cat seen

diff seen - <<'SEEN'
2.21.5: "web-10 was made beside web-1"
2.22.0rc1: "$REDACTED$0 was made beside $REDACTED$"
SEEN
