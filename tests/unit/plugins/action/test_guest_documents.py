# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metadata and user data of many VMs in one task: rendered with each VM's own variables, checked, and shown nowhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import payload
from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit.networks import Card
from ansible_collections.vforge.vsphere.plugins.modules import guest_documents
from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment, kept
from vforge_playbook import run_playbook

_COLLECTION = Path(guest_documents.__file__).parents[2]
_HIDDEN = "hunter2-and-more"

_METADATA = """\
local-hostname: {{ guest.name }}.{{ domain }}
tags: {role: {{ guest.role }}, zone: a}
"""
_USERDATA = """\
#cloud-config
{% include 'part.j2' %}

{% if guest.role == 'web' %}
packages: [{{ package }}]
{% endif %}
"""


@pytest.fixture
def play(tmp_path):
    """A function that plays the task, with two templates, and returns its exit code, output and result."""

    def played(*words, metadata=_METADATA, userdata=_USERDATA, part="password: {{ secret }}\n", **given):
        templates = tmp_path / "templates"
        templates.mkdir(exist_ok=True)
        for name, text in (("metadata.j2", metadata), ("userdata.j2", userdata), ("part.j2", part)):
            (templates / name).write_text(text, encoding="utf-8")
        task = {"metadata_template": "metadata.j2", "userdata_template": "userdata.j2", **given}
        variables = {"domain": "example.test", "package": "nginx", "secret": "{{ hidden }}", "hidden": _HIDDEN}
        tasks = [
            {"vforge.vsphere.guest_documents": task, "register": "made", "ignore_errors": True},
            {**kept("{{ made | to_json }}", tmp_path / "made.json"), "no_log": True},
        ]
        text = json.dumps([{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks}])
        (tmp_path / "play.json").write_text(text, encoding="utf-8")
        _code, output = run_playbook(*words, "play.json", cwd=tmp_path, env=environment(tmp_path))
        assert (tmp_path / "made.json").exists(), output
        return output, json.loads((tmp_path / "made.json").read_text(encoding="utf-8"))

    return played


def test_each_vm_gets_its_own_and_no_secret_is_shown(play):
    guests = [
        {"name": "web-1", "role": "web", "metadata": {"tags": {"zone": "b"}}},
        {"name": "db-1", "role": "db"},
        {"name": "raw-1", "role": "web", "userdata": "#!/bin/sh\ntrue\n"},
    ]
    output, made = play("-vvvv", guests=guests)
    assert _HIDDEN not in output
    web, database, raw = (made["documents"][guest["name"]] for guest in guests)
    assert web["metadata"] == {
        "instance_id": "auto",
        "local-hostname": "web-1.example.test",
        "tags": {"role": "web", "zone": "b"},
    }
    assert yaml.safe_load(web["userdata"]) == {"password": _HIDDEN, "packages": ["nginx"]}
    assert yaml.safe_load(database["userdata"]) == {"password": _HIDDEN}
    assert database["metadata"]["tags"] == {"role": "db", "zone": "a"}
    assert raw["userdata"] == "#!/bin/sh\ntrue\n"
    assert made["clone_options"] == {}


def test_in_advance_the_data_are_options_of_a_clone(play):
    _output, made = play(guests=[{"name": "web-1", "role": "web"}], in_advance=True, report=True)
    pairs = made["clone_options"]["web-1"]["extra_config"]
    assert {"guestinfo.metadata", "guestinfo.userdata", "guestinfo.vendordata"} <= set(pairs)
    assert made["documents"]["web-1"]["metadata"]["instance_id"] == "auto:web-1"


def test_what_is_wrong_is_reported_of_all_vms_with_template_and_line(play):
    guests = [{"name": "web-1", "role": "web"}, {"name": "web-2"}, {"name": "db-1", "role": "db"}]
    userdata = _USERDATA.replace("{{ package }}", "{{ nowhere }}")
    output, made = play("-vvvv", guests=guests, userdata=userdata)
    assert {failure["name"] for failure in made["failures"]} == {"web-1", "web-2"}
    assert "web-1: userdata.j2, line 5, cannot be rendered: 'nowhere' is undefined." in made["msg"]
    assert "web-2: metadata.j2, line 2, cannot be rendered: has no attribute 'role'." in made["msg"]
    assert (made["error_code"], "documents" in made) == ("invalid_option", False)
    assert made["msg"] in output


@pytest.mark.parametrize(
    ("templates", "words"),
    [
        ({"metadata": "- a\n"}, "web-1: metadata.j2 is no mapping of YAML."),
        ({"metadata": "a: [{{ secret }}\n"}, "web-1: metadata.j2 cannot be read as YAML from line"),
        ({"metadata": "a: {{ secret | from_json }}\n"}, "web-1: metadata.j2, line 1, cannot be rendered"),
        ({"userdata": "#cloud-config\na: {% if %}\n"}, "web-1: userdata.j2, line 2, cannot be rendered"),
        ({"userdata": "#cloud-config\na: [{{ secret }}\n"}, "web-1: userdata cannot be read as YAML from line"),
        ({"userdata": "{{ secret }}\n"}, "web-1: userdata: its first line is no header of cloud-init"),
    ],
)
def test_no_mistake_shows_a_value(play, templates, words):
    output, made = play("-vvvv", guests=[{"name": "web-1", "role": "web"}], **templates)
    assert words in made["msg"]
    assert _HIDDEN not in output
    assert _HIDDEN not in json.dumps(made)


def test_two_vms_of_one_name_are_refused(play):
    _output, made = play(guests=[{"name": "web-1", "role": "web"}] * 2)
    assert (made["msg"], made["error_code"]) == ("Several VMs have the name web-1.", "invalid_option")


def test_a_name_as_vcenter_keeps_it_is_refused_since_results_have_another(play):
    _output, made = play(guests=[{"name": "web%2f1", "role": "web"}])
    words = "An entry of guests has the name web%2f1, which is how vCenter keeps web/1. Write web/1."
    assert (made["msg"], made["error_code"]) == (words, "invalid_option")


@pytest.mark.parametrize(
    ("guest", "device"),
    [
        ({}, {"match": {"macaddress": "00:50:56:00:00:01"}, "set-name": "eth0"}),
        ({"interface": "ens192"}, {}),
    ],
)
def test_the_roles_templates_are_right_on_every_renderer(play, guest, device):
    """As ``test_corpus.py`` has cloud-init itself say of these two forms."""
    role = _COLLECTION / "roles/guest_cloud_init"
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text(encoding="utf-8"))
    more = {
        "guest_cloud_init_gateway": "10.0.0.1",
        "guest_cloud_init_dns_servers": ["10.0.0.2"],
        "guest_cloud_init_user": "admin",
    }
    _output, made = play(
        "-e",
        json.dumps({**defaults, **more}),
        guests=[{"name": "web-1", "address": "10.0.0.11/24", **guest}],
        metadata_template=str(role / "templates/metadata.j2"),
        userdata_template=str(role / "templates/userdata.j2"),
    )
    data = payload.build(made["documents"]["web-1"], {}, "web-1", mend=False, report=False)
    data = data.with_cards([Card("Network adapter 1", "00:50:56:00:00:01")], "web-1")
    assert data.warnings == ()
    network = data.metadata.mapping["network"]["ethernets"]
    (name,) = network
    assert name == guest.get("interface", "eth0")
    assert {key: network[name][key] for key in device} == device
    assert ("match" in network[name]) is bool(device)
    assert network[name]["routes"] == [{"to": "0.0.0.0/0", "via": "10.0.0.1"}]


def test_lists_of_the_role_may_be_texts_as_on_a_command_line(play):
    role = _COLLECTION / "roles/guest_cloud_init"
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text(encoding="utf-8"))
    key = 'from="10.0.0.1,10.0.0.2" ssh-ed25519 AAAAnobody admin'
    more = {"dns_servers": "10.0.0.2,10.0.0.3", "dns_search": "example.test", "packages": "nginx,vim", "redact": "userdata"}
    _output, made = play(
        "-e",
        json.dumps({**defaults, **{f"guest_cloud_init_{name}": text for name, text in more.items()}}),
        "-e",
        json.dumps({"guest_cloud_init_ssh_authorized_keys": key}),
        guests=[{"name": "web-1"}],
        metadata_template=str(role / "templates/metadata.j2"),
        userdata_template=str(role / "templates/userdata.j2"),
    )
    document = made["documents"]["web-1"]
    metadata, userdata = document["metadata"], yaml.safe_load(document["userdata"])
    servers = metadata["network"]["ethernets"]["eth0"]["nameservers"]
    assert (servers, metadata["redact"]) == ({"addresses": ["10.0.0.2", "10.0.0.3"], "search": ["example.test"]}, ["userdata"])
    assert (userdata["packages"], userdata["ssh_authorized_keys"]) == (["nginx", "vim"], [key])


def _tasks(entries):
    for entry in entries or ():
        yield entry
        for block in ("block", "rescue", "always"):
            yield from _tasks(entry.get(block))


def test_what_roles_look_for_among_many_they_look_for_in_a_mapping():
    """Jinja compares a value with each of a list: of 4,000 VMs with 4,000 that is half a minute, and a moment in a mapping."""
    lists = re.compile(r"'in', [^'{}]*map\(attribute='\w+'\)\)")
    files = sorted((_COLLECTION / "roles").glob("*/tasks/*.yml"))
    found = {f"{file.parent.parent.name}/{file.name}": lists.findall(file.read_text(encoding="utf-8")) for file in files}
    assert len(files) > 30
    assert {name: each for name, each in found.items() if each} == {}


def test_no_role_loops_over_vms_but_to_add_hosts():
    """Each round of a loop costs as much as a task; only ``add_host`` takes one host at a time."""
    loops = {}
    for file in sorted((_COLLECTION / "roles").glob("*/tasks/*.yml")):
        for task in _tasks(yaml.safe_load(file.read_text(encoding="utf-8"))):
            kept = [key for key in task if key == "loop" or key.startswith("with_")]
            if kept and "add_hosts.yml" not in (file.name, task.get("ansible.builtin.include_tasks")):
                loops[f"{file.parent.parent.name}/{file.name}"] = task["loop"]
    # Batches, of which a user wants one after the other; packages that become templates; drills, each of which takes
    # minutes; kinds of objects, management clusters, old templates.
    assert loops == {
        "vm_clone_backup/main.yml": "{{ vm_clone_backup_restores | selectattr('package', 'defined') | list }}",
        "instant_clone_fleet/main.yml": "{{ instant_clone_fleet_plan.rolls }}",
        "vmfork_fleet/main.yml": "{{ vmfork_fleet_plan.rolls }}",
        "ovf_linked_clones/replace.yml": "{{ ovf_linked_clones_old | batch(ovf_linked_clones_batch_size | int) | list }}",
        "evc_baseline/apply.yml": "{{ evc_baseline_result.vms_to_restart | batch(evc_baseline_batch_size | int) }}",
        "restore_drill/main.yml": "{{ restore_drill_due }}",
        "capv_cluster/learn.yml": "{{ capv_cluster_definitions.results }}",
        "capv_node_template/management.yml": ["VSphereMachineTemplate", "VSphereMachine", "VSphereVM"],
        "capv_node_template/unused.yml": (
            "{{ capv_node_template_old | rejectattr('instance_uuid', 'in', capv_node_template_held) }}"
        ),
    }
