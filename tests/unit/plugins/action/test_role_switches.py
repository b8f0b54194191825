# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A switch of a role that comes as a text, as every ``-e name=false`` does, is what it says.

Ansible checks the arguments of a role, and does not convert them. Before ansible-core 2.19 the text ``false`` in a condition is
true, and from there on it is an error.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

_ROLES = Path(__file__).parents[4] / "roles"
_SPECS = sorted(_ROLES.glob("*/meta/argument_specs.yml"))


def options_of(spec: Path, kind: str) -> list[str]:
    """The names of a role's options of this type."""
    found = yaml.safe_load(spec.read_text(encoding="utf-8"))["argument_specs"]
    return [name for entry in found.values() for name, option in entry.get("options", {}).items() if option["type"] == kind]


def as_they_come(name: str, line: str) -> bool:
    """Whether a line has the variable neither converted, nor as the whole value of an option, which converts it."""
    return bool(re.search(rf"\b{name}\b(?! *\| *bool)", line)) and not re.search(rf': "\{{\{{ {name} \}}\}}"$', line)


@pytest.mark.parametrize("spec", _SPECS, ids=lambda spec: spec.parents[1].name)
def test_every_switch_is_converted_where_it_is_looked_at(spec):
    tasks = sorted((spec.parents[1] / "tasks").glob("*.yml"))
    lines = [(path, line) for path in tasks for line in path.read_text(encoding="utf-8").splitlines()]
    looked_at = [(path, line) for path, line in lines if "fail_msg" not in line and not line.lstrip().startswith("#")]
    switches = options_of(spec, "bool")
    found = [f"{path.name}: {line.strip()}" for name in switches for path, line in looked_at if as_they_come(name, line)]
    assert found == []


def test_there_are_switches_to_look_at():
    assert len([name for spec in _SPECS for name in options_of(spec, "bool")]) > 10
