# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks as a new user writes them, in playbooks of their own: what is accepted, and what is refused before a module runs."""

from __future__ import annotations

import json
import sys

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment, forking, kept
from vforge_playbook import run_playbook

# A connection to "another machine": this one, without the environment of ansible-playbook.
_ELSEWHERE = '''
DOCUMENTATION = """
name: elsewhere
short_description: This machine, without the environment of ansible-playbook
description: For tests.
options: {}
extends_documentation_fragment: [connection_pipelining]
"""
from ansible.plugins.connection.local import Connection as Local

class Connection(Local):
    transport = "elsewhere"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        without = "env -u VMWARE_HOST -u VMWARE_USER -u VMWARE_PASSWORD "
        return super().exec_command(without + cmd, in_data=in_data, sudoable=sudoable)
'''


@pytest.fixture
def play(shared_sim, tmp_path):
    """A function that runs tasks against a simulator, and returns their results."""
    # Beside the playbook, where Ansible looks for it.
    (tmp_path / "connection_plugins").mkdir()
    (tmp_path / "connection_plugins" / "elsewhere.py").write_text(_ELSEWHERE, encoding="utf-8")
    usual = environment(tmp_path, shared_sim)

    def run(*tasks, variables=None, **more_environment):
        names = [f"done_{number}" for number in range(len(tasks))]
        steps = [{**task, "register": name, "ignore_errors": True} for task, name in zip(tasks, names, strict=True)]
        steps.append(kept(f"{{{{ [{', '.join(names)}] | to_json }}}}", tmp_path / "done.json"))
        playbook = [{"hosts": "localhost", "gather_facts": False, "vars": {**forking(), **(variables or {})}, "tasks": steps}]
        (tmp_path / "play.json").write_text(json.dumps(playbook), encoding="utf-8")
        code, output = run_playbook("play.json", cwd=tmp_path, env={**usual, **more_environment})
        assert code == 0, output
        return json.loads((tmp_path / "done.json").read_text(encoding="utf-8"))

    return run


def test_names_in_place_of_mappings_are_accepted_and_other_shapes_have_a_code(play):
    clones, info, memory, guestinfo, vms, addresses, page, no_path = play(
        {
            "vforge.vsphere.linked_clone": {"source": "server-00001", "disk_mode": "full", "clones": ["x1", "x2"]},
            "check_mode": True,
        },
        {"vforge.vsphere.instant_clone_parent_info": {"parent": "/DC0/vm/server-00001"}},
        {"vforge.vsphere.linked_clone": {"source": "server-00001", "name": "x", "memory": 4096}},
        {"vforge.vsphere.instant_clone": {"parent": "server-00001", "name": "x", "guestinfo": ["a", "p"]}},
        {"vforge.vsphere.reported_hosts": {"vms": "web-1"}},
        {"vforge.vsphere.reported_hosts": {"vms": [], "timeout": "soon"}},
        {"vforge.vsphere.changed_areas_page": {"path": "areas.html", "result": "night"}},
        {"vforge.vsphere.changed_areas_page": {}},
    )
    assert [clone["name"] for clone in clones["clones"]] == ["x1", "x2"]
    assert info["parents"][0]["path"] == "/DC0/vm/server-00001"
    for refused, option, said in (
        (memory, "memory", "The option memory is the number 4096, where a mapping is wanted."),
        (guestinfo, "guestinfo", "The option guestinfo is a list, where a mapping is wanted."),
        (page, "result", "The option result is the text 'night', where a mapping is wanted."),
        (vms, "vms", "The option vms is the text 'web-1', where a list of mappings is wanted."),
    ):
        assert (refused["failed"], refused["error_code"], refused["option"]) == (True, "invalid_option", option)
        assert refused["msg"].startswith(said)
        assert "invocation" not in refused
    for refused, option in ((addresses, "timeout"), (no_path, "path")):
        assert (refused["failed"], refused["error_code"]) == (True, "invalid_option")
        assert option in refused["msg"]


def test_a_module_on_another_machine_says_where_its_variables_have_to_be_set(play):
    task = {"vforge.vsphere.instant_clone_parent_info": {"parent": "server-00001"}}
    there = {**task, "delegate_to": "jump-1"}
    elsewhere = {"ansible_connection": "elsewhere"}
    here, missing, given = play(task, {**there, "vars": elsewhere}, {**there, "vars": elsewhere, "environment": _given()})
    assert not here.get("failed")
    assert (missing["error_code"], missing["option"]) == ("invalid_option", "hostname")
    assert (
        "VMWARE_HOST is set where ansible-playbook runs, but the environment of ansible-playbook does not reach jump-1, where "
        "the module ran: set hostname in the task or in module_defaults, or VMWARE_HOST under the task's keyword environment."
    ) in missing["msg"]
    assert not given.get("failed")


def test_a_module_of_another_user_says_where_its_variables_have_to_be_set(play):
    # In the place of sudo, which takes the environment away, too: "env -i -u root /bin/sh -c ...".
    how = {"ansible_become_exe": "env", "ansible_become_flags": "-i", "ansible_python_interpreter": sys.executable}
    (missing,) = play(
        {"vforge.vsphere.instant_clone_parent_info": {"parent": "server-00001"}, "become": True, "vars": how},
        ANSIBLE_BECOME_ALLOW_SAME_USER="true",
    )
    assert (missing.get("error_code"), missing.get("option")) == ("invalid_option", "hostname"), missing
    assert "but the environment of ansible-playbook does not reach the user of become, as whom the module ran" in missing["msg"]


def _given():
    return {
        name: f"{{{{ lookup('ansible.builtin.env', '{name}') }}}}" for name in ("VMWARE_HOST", "VMWARE_USER", "VMWARE_PASSWORD")
    }


def test_empty_variables_are_not_set(play):
    empty = {f"VMWARE_{name}": "" for name in ("VALIDATE_CERTS", "THUMBPRINT", "PROXY_HOST", "PROXY_PORT", "SESSION_CACHE")}
    (info,) = play({"vforge.vsphere.instant_clone_parent_info": {"parent": "server-00001"}}, **empty)
    assert not info.get("failed"), info
    (port,) = play({"vforge.vsphere.instant_clone_parent_info": {"parent": "server-00001"}}, VMWARE_PORT="")
    assert "443" in port["msg"]
    assert port["error_code"] != "invalid_option"
