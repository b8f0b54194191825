#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-runner 2.4.3 with ansible-core 2.19.14.
#
# Guess: a run with an ident that was used before replaces the artifacts of the run before it, or is refused.
# Seen:  the events of the new run are laid beside those of the old one: `events` gives both, so whoever counts what a job made
#        counts it twice. `stats` and the return code are those of the new run. And a null in env/envvars is the text "None".
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.14 ansible-runner==2.4.3
PATH="$work/venv/bin:$PATH"

mkdir -p job/project job/env job/inventory
echo 'localhost ansible_connection=local' > job/inventory/hosts
echo 'VMWARE_PORT: null' > job/env/envvars
cat > job/project/play.yml <<'YAML'
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: "port {{ lookup('env', 'VMWARE_PORT') }}"}
YAML
ANSIBLE_HOME="$work/home" python - <<'CHECK'
import ansible_runner

seen = []
for ident in ("nightly", "nightly", "another"):
    run = ansible_runner.run(private_data_dir="job", playbook="play.yml", ident=ident, quiet=True)
    ran = [event["event_data"]["res"]["msg"] for event in run.events if event["event"] == "runner_on_ok"]
    print(f"ident {ident}: rc {run.rc}, tasks by stats: {run.stats['ok']['localhost']}, tasks by events: {len(ran)}, {ran[0]}")
    assert run.rc == 0 and run.stats["ok"] == {"localhost": 1} and set(ran) == {"port None"}
    seen.append(len(ran))
assert seen == [1, 2, 1]
CHECK
