# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a VMFork task."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fork.support import options

TWO = [{"name": "one"}, {"name": "two"}]


def _children(*items, **common):
    return options(children=list(items), **common).children


def test_what_an_item_leaves_out_is_taken_from_the_options_of_the_task():
    common = {"folder": "web", "persistent": True, "powered_on": False, "config_params": {"a": 1, "b": True}}
    first, second = _children({"name": "x"}, {"name": "y", "persistent": False, "config_params": {"a": "2"}}, **common)
    assert (first.folder, first.persistent, first.powered_on) == ("web", True, False)
    assert first.config == {"guestinfo.fork.a": "1", "guestinfo.fork.b": "TRUE"}
    assert (second.persistent, second.config["guestinfo.fork.a"]) == (False, "2")


def test_a_parameter_may_be_written_as_the_guest_reads_it():
    (child,) = _children({"name": "x", "config_params": {"guestinfo.fork.hostname": "x"}})
    assert child.config == {"guestinfo.fork.hostname": "x"}
    with pytest.raises(InvalidOption, match="twice"):
        _children({"name": "x", "config_params": {"guestinfo.fork.a": "x", "a": "y"}})


def test_secrets_are_in_no_repr():
    asked = options(
        children=[{"name": "x", "config_params": {"key": "hidden"}}], before_quiesce="hidden\n", on_wake=["a hidden b"]
    )
    assert "hidden" not in repr(asked)


@pytest.mark.parametrize(
    ("asked", "option"),
    [
        ({"children": [{"name": "x"}], "state": "disabled"}, "children"),
        ({"children": [{"name": "x"}, {"name": "x"}]}, "children"),
        ({"children": [{"name": "x"}], "parents": TWO}, "children"),
        ({"children": [{"name": " "}]}, "name"),
        ({"children": [{"name": "x", "config_params": "[1]"}]}, "config_params"),
        ({"children": [{"name": "x", "parent": {}}], "parents": TWO}, "children[].parent"),
        ({"children": [{"name": "x", "parent": {"name": "a", "moid": "b"}}]}, "children[].parent"),
        ({"guest_username": "root"}, "guest_password"),
        ({"quiesce_command": "a\nb"}, "quiesce_command"),
        ({"on_wake": ["networkmanger"]}, "on_wake"),
    ],
)
def test_what_cannot_be_meant_is_refused(asked, option):
    with pytest.raises(InvalidOption) as caught:
        options(**asked)
    assert caught.value.details["option"] == option


def test_the_same_name_in_two_folders_is_two_children():
    assert len(_children({"name": "x", "folder": "a"}, {"name": "x", "folder": "b"})) == 2


def test_children_of_a_disabled_parent_may_go():
    (child,) = options(children=[{"name": "x", "state": "absent"}], state="disabled").children
    assert child.state == "absent"


def test_no_children_are_no_mistake():
    assert options().children == options(children=[]).children == ()
