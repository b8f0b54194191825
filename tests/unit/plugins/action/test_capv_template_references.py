# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which templates are still used: in doubt they are."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._capv import documents, references
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment, kept
from vforge_playbook import run_playbook

_UUID = "5032c8a5-9c5e-ba7a-3804-832a03e16381"
_TEMPLATE = {"name": "node-1.34", "path": "/DC0/vm/nodes/node-1.34", "instance_uuid": _UUID}


def _machines(template, kind="VSphereMachineTemplate", version="v1beta1"):
    inner = {"template": template, "numCPUs": 2}
    spec = {"template": {"spec": inner}} if kind == "VSphereMachineTemplate" else inner
    api = f"infrastructure.cluster.x-k8s.io/{version}"
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "md-0", "namespace": "prod"}, "spec": spec}


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("node-1.34", True),
        ("NODE-1.34", True),
        ("/DC0/vm/nodes/node-1.34", True),
        ("nodes/node-1.34", True),
        ("/DC1/vm/other/node-1.34", True),
        (_UUID.upper(), True),
        ("node-1.3", False),
        ("node-1.34-old", False),
        ("node-1.34/x", False),
        ("node-*", True),
        ("/DC0/vm/*/NODE-1.3[0-9]", True),
        ("*", True),
        ("nodes-*", False),
        ("nodes*/node-1.35", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("kind", ["VSphereMachineTemplate", "VSphereMachine", "VSphereVM"])
def test_what_refers_to_a_template(kind, text, used):
    found = references.references_in([_machines(text, kind, "v1beta2")], "a file")
    assert references.users(_TEMPLATE, found) == ([f"{kind} prod/md-0 in a file"] if used else [])


def test_lists_are_looked_into_and_others_are_not_references():
    items = [{"apiVersion": "v1", "kind": "List", "items": [_machines("node-1.34")]}, None, "text", {"kind": "VSphereVM"}]
    assert len(references.references_in(items, "x")) == 1
    assert references.references_in(documents.load("&a {kind: List, items: [*a]}", "x"), "x") == []
    other = {**_machines("node-1.34"), "apiVersion": "example.com/v1"}
    assert references.references_in([other], "x") == []


@pytest.mark.parametrize("odd", [{"spec": ["a"]}, {"spec": {"template": "a"}}, {"spec": {"template": {"spec": 1}}}])
def test_objects_of_any_form_are_looked_at(odd):
    assert references.references_in([{**_machines("node-1.34"), **odd}], "x") == []
    unnamed = references.references_in([{**_machines("node-1.34"), "metadata": "me"}], "x")
    assert [each.where for each in unnamed] == ["VSphereMachineTemplate without a name in x"]


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("image: node-1.34\n", True),
        ('- {op: replace, path: /spec/template, value: "/DC0/vm/nodes/NODE-1.34"}', True),
        ("source: node-1.34.ova", True),
        (f"uuid: {_UUID.upper()}", True),
        ("Made of node-1.34.", True),
        ("node-1.34", True),
        ("image: node-1.344", False),
        ("image: node-1.34.2", False),
        ("image: node-1.34-old", False),
        ("image: my-node-1.34", False),
        ("image: node-1x34", False),
        ("", False),
    ],
)
def test_a_name_anywhere_in_a_file_is_enough(text, used):
    found = references.mentions(text, [_TEMPLATE], "values.yaml")
    assert references.users(_TEMPLATE, found) == (["the text of values.yaml"] if used else [])


def test_a_name_with_a_slash_is_found_in_both_spellings():
    for text in ("template: a%2fb", "template: a/b"):
        assert len(references.mentions(text, [{"name": "a%2fb", "instance_uuid": _UUID}], "x")) == 1


def test_a_template_without_an_identity_is_refused():
    with pytest.raises(InvalidOption, match="no instance_uuid"):
        references.check_templates([{"name": "a", "instance_uuid": ""}])


def _played(tmp_path, **task):
    tasks = [
        {"vforge.vsphere.capv_template_references": task, "register": "asked", "ignore_errors": True},
        kept("{{ asked | to_json }}", tmp_path / "asked.json"),
    ]
    text = json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}])
    (tmp_path / "play.json").write_text(text, encoding="utf-8")
    run_playbook("play.json", cwd=tmp_path, env=environment(tmp_path))
    return json.loads((tmp_path / "asked.json").read_text(encoding="utf-8"))


def test_a_tree_and_a_cluster_are_asked_and_what_cannot_be_read_is_an_error(tmp_path):
    tree = tmp_path / "tree"
    (tree / "a/.git").mkdir(parents=True)
    (tree / "a/b.yaml").write_text(json.dumps(_machines("node-1.34")), encoding="utf-8")
    (tree / "a/.git/c.yaml").write_text(json.dumps(_machines("old")), encoding="utf-8")
    (tree / "chart.yaml").write_text("kind: VSphereMachineTemplate\nspec: {{ .Values.x }\n", encoding="utf-8")
    (tree / "values.yaml").write_text("machines: {image: helm-1}\n", encoding="utf-8")
    others = ("old", "live", "helm-1")
    templates = [_TEMPLATE, *({"name": name, "path": f"/DC0/vm/{name}", "instance_uuid": f"uuid {name}"} for name in others)]
    asked = {"templates": templates, "trees": [str(tree)], "objects": [_machines("live", "VSphereVM")]}
    failed = _played(tmp_path, **asked)
    assert failed["error_code"] == "invalid_option"
    assert "chart.yaml is no YAML in line" in failed["msg"]
    found = _played(tmp_path, **asked, ignore=["chart.*"])
    assert [each["name"] for each in found["used"]] == ["node-1.34", "live", "helm-1"]
    assert found["references"] == 3
    assert [each["name"] for each in found["unused"]] == ["old"]
    assert found["used"][0]["referred_by"] == [f"VSphereMachineTemplate prod/md-0 in {tree}/a/b.yaml"]
    assert found["used"][2]["referred_by"] == [f"the text of {tree}/values.yaml"]
    nothing = _played(tmp_path, templates=templates, trees=[str(tmp_path / "tree/a/.git")], ignore=["*"])
    assert (nothing["used"], nothing["references"]) == ([], 0)
