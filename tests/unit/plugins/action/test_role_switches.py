# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A switch or a number of a role that comes as a text, as every ``-e name=false`` does, is what it says, and null is not set.

Ansible checks the arguments of a role, and does not convert them. Before ansible-core 2.19 the text ``false`` in a condition is
true, and from there on it is an error; a text is never greater than a number. What is left empty in YAML is null, which has no
length.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment
from vforge_playbook import run_playbook

_ROLES = Path(__file__).parents[4] / "roles"
_SPECS = sorted(_ROLES.glob("*/meta/argument_specs.yml"))


def options_of(spec: Path, kind: str) -> list[str]:
    """The names of a role's options of this type."""
    found = yaml.safe_load(spec.read_text(encoding="utf-8"))["argument_specs"]
    return [name for entry in found.values() for name, option in entry.get("options", {}).items() if option["type"] == kind]


def lines_of(spec: Path) -> list[tuple[Path, str]]:
    """The lines of a role that may look at a variable, with the file that each is in."""
    files = sorted(file for folder in ("tasks", "vars") for file in (spec.parents[1] / folder).glob("*.yml"))
    lines = [(path, line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    return [(path, line) for path, line in lines if "fail_msg" not in line and not line.lstrip().startswith("#")]


def as_they_come(name: str, line: str) -> bool:
    """Whether a line has the variable neither converted, nor as the whole value of an option, which converts it."""
    return bool(re.search(rf"\b{name}\b(?! *\| *bool)", line)) and not re.search(rf': "\{{\{{ {name} \}}\}}"$', line)


@pytest.mark.parametrize("spec", _SPECS, ids=lambda spec: spec.parents[1].name)
def test_every_switch_is_converted_where_it_is_looked_at(spec):
    switches = options_of(spec, "bool")
    found = [f"{path.name}: {line.strip()}" for name in switches for path, line in lines_of(spec) if as_they_come(name, line)]
    assert found == []


# What makes a sum or a comparison of a number, before it and behind it.
_RECKONED = r"(==|!=|<=|>=|<|>|\+|-|/|\*)"


@pytest.mark.parametrize("spec", _SPECS, ids=lambda spec: spec.parents[1].name)
def test_every_number_is_converted_where_it_is_reckoned_with(spec):
    found = []
    defaults = (spec.parents[1] / "defaults" / "main.yml").read_text(encoding="utf-8")
    for name in options_of(spec, "int"):
        # A text is never empty as 0 is, which leaves an option out.
        left_out = rf"|\b{name} *\| *default\(omit, true\)" if name in defaults else ""
        as_it_comes = re.compile(rf"\b{name} *{_RECKONED}|{_RECKONED} *{name}\b(?! *\| *int)|\({name}\b(?! *\| *int){left_out}")
        found += [f"{path.name}: {line.strip()}" for path, line in lines_of(spec) if as_it_comes.search(line)]
    assert found == []


def lists_of(spec: Path) -> list[str]:
    """The names of a role's lists that Ansible also takes as texts."""
    found = yaml.safe_load(spec.read_text(encoding="utf-8"))["argument_specs"]
    options = {name: option for entry in found.values() for name, option in entry.get("options", {}).items()}
    return [name for name, option in options.items() if option["type"] == "list" and option["elements"] not in ("dict", "list")]


@pytest.mark.parametrize("spec", _SPECS, ids=lambda spec: spec.parents[1].name)
def test_no_list_that_may_be_a_text_is_worked_with_as_it_comes(spec):
    """What has one as the whole value of an option converts it."""
    found = []
    for name in lists_of(spec):
        as_it_comes = re.compile(
            rf"\+ *{name}\b|\b{name} *\+|\b{name} *\| *(unique|map|select|reject)|loop: \"\{{\{{ {name} \}}\}}"
        )
        found += [f"{path.name}: {line.strip()}" for path, line in lines_of(spec) if as_it_comes.search(line)]
    assert found == []


@pytest.mark.parametrize("spec", _SPECS, ids=lambda spec: spec.parents[1].name)
def test_no_text_is_asked_for_its_length_since_null_has_none(spec):
    texts = [name for kind in ("str", "path") for name in options_of(spec, kind)]
    found = [
        f"{path.name}: {line.strip()}"
        for name in texts
        for path, line in lines_of(spec)
        if re.search(rf"\b{name} *\| *length", line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("role", "given"),
    [
        ("guest_cloud_init", {"source": {"name": "template"}, "guests": [{"name": "web"}, {"name": 1001}]}),
        ("ovf_linked_clones", {"template": "tiny", "clones": [{"name": "web"}, {"name": 1001}]}),
    ],
)
def test_a_name_that_is_a_number_is_refused_before_anything_is_asked(tmp_path, role, given):
    variables = {f"{role}_{name}": value for name, value in given.items()}
    include = {"ansible.builtin.include_role": {"name": f"vforge.vsphere.{role}"}, "vars": variables}
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [include]}]))
    code, output = run_playbook("play.json", cwd=tmp_path, env=environment(tmp_path))
    assert (code, "a number" in output, "in quotes" in output) == (2, True, True), output


def test_there_are_switches_to_look_at():
    assert len([name for spec in _SPECS for name in options_of(spec, "bool")]) > 10
