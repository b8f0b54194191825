# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets of a task's arguments: each mapping becomes one text, so that nothing else is starred out."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.common.parameters import remove_values
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.plugin_utils.secrets import sealed

_SECRET = ("guestinfo", "extra_config")


def test_mappings_become_text_at_the_top_and_in_lists():
    args = {
        "guestinfo": {"a": "1"},
        "parent": {"name": "golden"},
        "clones": [{"name": "web", "guestinfo": {"b": True}, "networks": [{"index": 0}]}, {"name": "db"}],
    }
    assert sealed(args, _SECRET, ("clones",)) == {
        "guestinfo": '{"a": "1"}',
        "parent": {"name": "golden"},
        "clones": [{"name": "web", "guestinfo": '{"b": true}', "networks": [{"index": 0}]}, {"name": "db"}],
    }
    assert args["guestinfo"] == {"a": "1"}, "the arguments that Ansible keeps are left alone"


@pytest.mark.parametrize("value", [None, "", "text", '{"a": 1}', {}, [], ["a"], 5, True])
def test_what_is_no_mapping_or_empty_stays(value):
    assert sealed({"guestinfo": value}, _SECRET) == {"guestinfo": value}


@pytest.mark.parametrize("clones", [None, "text", {"name": "a"}, ["text", None, 5]])
def test_what_is_no_list_of_mappings_stays(clones):
    assert sealed({"clones": clones}, _SECRET, ("clones",)) == {"clones": clones}


def test_keys_and_values_of_any_type():
    args = {"guestinfo": {1: "a", "b": 2.5, None: object}}
    assert json.loads(sealed(args, _SECRET)["guestinfo"]).keys() == {"1", "b", "null"}


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.booleans()), min_size=1))
def test_the_text_means_the_same(mapping):
    assert json.loads(sealed({"guestinfo": mapping}, _SECRET)["guestinfo"]) == mapping


def test_ansible_then_hides_the_text_and_no_word_of_it():
    secret = sealed({"guestinfo": {"role": "web", "count": 1, "password": "hunter2"}}, _SECRET)["guestinfo"]
    told = {"name": "web-1", "count": 1, "said": f"guestinfo is {secret}"}
    shown = remove_values(told, {secret})
    assert (shown["name"], shown["count"]) == ("web-1", 1)
    assert "hunter2" not in shown["said"]
