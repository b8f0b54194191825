# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an inventory is made of, without a vCenter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._inventory import model

_NAME = st.text("abcXYZ_", min_size=1, max_size=4)
_PATHS = st.lists(_NAME, min_size=1, max_size=4).map(".".join)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("name", ["name"]),
        ("config.hardware.numCPU", ["config", "hardware", "numCPU"]),
        ('config.extraConfig["a.b"].value', ["config", 'extraConfig["a.b"]', "value"]),
    ],
)
def test_dots_in_a_key_part_nothing(path, expected):
    assert model.parts(path) == expected


@given(st.dictionaries(_PATHS, st.integers()))
def test_every_leaf_is_found_at_its_path(values):
    nested = model.nested(values)
    for path, value in values.items():
        if not any(other.startswith(f"{path}.") for other in values):
            here = nested
            for part in path.split("."):
                here = here[part]
            assert here == value


def test_a_branch_and_a_leaf_of_it_may_both_be_asked_for():
    assert model.nested({"config.name": "x", "config": {"name": "x", "uuid": "u"}}) == {"config": {"name": "x", "uuid": "u"}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("numCPU", "num_cpu"),
        ("powerState", "power_state"),
        ("cpuHotAddEnabled", "cpu_hot_add_enabled"),
        ("VMXNet", "vmx_net"),
        ("name", "name"),
        ("customValue", "custom_value"),
    ],
)
def test_names_in_snake_case(name, expected):
    assert model.snake_case(name) == expected


@given(st.recursive(st.integers(), lambda below: st.dictionaries(_NAME, below, min_size=1, max_size=3), max_leaves=8))
def test_flat_holds_every_leaf(value):
    values = {"a": value}
    leaves = []

    def walk(here):
        if isinstance(here, dict):
            for below in here.values():
                walk(below)
        else:
            leaves.append(here)

    walk(values)
    assert sorted(model.flat(values).values()) == sorted(leaves)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("name", "web"),
        ("config.guestId", "debian"),
        ("config.cpus", 2),
        ("config.on", False),
        ("config", None),
        ("config.items", None),
        ("config.missing", None),
        ("missing.guestId", None),
        ("name | upper", None),
        ("'text'", None),
        ("true", None),
        (5, None),
    ],
)
def test_expressions_that_only_name_something(expression, expected):
    variables = {"name": "web", "config": {"guestId": "debian", "cpus": 2, "on": False, "items": "mine"}}
    assert model.named(variables, expression) == expected


@pytest.mark.parametrize(
    ("filters", "values", "expected"),
    [
        ({"name": ("web-*",)}, {"name": "Web-1"}, True),
        ({"name": ("web-*", "db")}, {"name": "DB"}, True),
        ({"name": ("web-*",)}, {"name": "mail"}, False),
        ({"config.template": ("false",)}, {"config.template": False}, True),
        ({"config.annotation": ("",)}, {}, True),
        ({"name": ("*",), "runtime.powerState": ("poweredOn",)}, {"name": "x", "runtime.powerState": "poweredOff"}, False),
    ],
)
def test_filters_by_property(filters, values, expected):
    assert model.InventoryOptions(properties=(), property_filters=filters).passes(values) is expected


@pytest.mark.parametrize("pattern", ["web/*", "web%2F1", "WEB%2f?"])
def test_the_name_of_a_vm_is_filtered_by_as_people_see_it(pattern):
    options = model.options_from({"property_filters": {"name": pattern, "config.annotation": "50%25"}})
    assert options.passes({"name": "web/1", "config.annotation": "50%25"})
    assert not options.passes({"name": "mail/1", "config.annotation": "50%25"})
    assert not options.passes({"name": "web/1", "config.annotation": "50%"})


def test_groups_by_folders():
    assert model.path_groups("/DC0/vm/web/web-1", "") == ("DC0", "DC0_vm", "DC0_vm_web")
    assert model.path_groups("/DC0/vm/web-1", "vc") == ("vc_DC0", "vc_DC0_vm")
