# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entries of one task become those of the next: some keys of each, and what another mapping has for them."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vforge.vsphere.plugins.filter.joined import joined
from ansible_collections.vforge.vsphere.plugins.filter.only_keys import only_keys
from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment, kept
from vforge_playbook import run_playbook

VMS = [{"name": "a", "moid": "vm-1", "path": "/DC0/vm/a"}, {"name": "b", "moid": None}]


@pytest.mark.parametrize(
    ("entries", "keys", "found"),
    [
        (VMS, ["moid"], [{"moid": "vm-1"}, {"moid": None}]),
        (VMS, ["path", "name"], [{"path": "/DC0/vm/a", "name": "a"}, {"name": "b"}]),
        (VMS, ("none",), [{}, {}]),
        (VMS, [], [{}, {}]),
        ([], ["moid"], []),
        (iter(VMS), ["name"], [{"name": "a"}, {"name": "b"}]),
        (iter(()), ["name"], []),
    ],
)
def test_only_the_keys_that_are_asked_for_stay(entries, keys, found):
    assert only_keys(entries, keys) == found


@pytest.mark.parametrize(
    ("found_by_key", "key", "found"),
    [
        ({"a": {"cpu": 2}}, "name", [{**VMS[0], "cpu": 2}, VMS[1]]),
        ({"a": {"moid": "vm-9"}, "b": {}}, "name", [{**VMS[0], "moid": "vm-9"}, VMS[1]]),
        ({"vm-1": {"cpu": 2}}, "moid", [{**VMS[0], "cpu": 2}, VMS[1]]),
        ({}, "name", VMS),
    ],
)
def test_what_is_found_for_an_entry_goes_over_it(found_by_key, key, found):
    assert joined(iter(VMS), found_by_key, key) == found
    assert VMS[0] == {"name": "a", "moid": "vm-1", "path": "/DC0/vm/a"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: only_keys({"vms": VMS}, ["name"]), "only_keys wants a list of mappings."),
        (lambda: only_keys("names", ["name"]), "only_keys wants a list of mappings."),
        (lambda: only_keys(["a"], ["name"]), "only_keys wants a list of mappings."),
        (lambda: only_keys(None, ["name"]), "only_keys wants a list of mappings."),
        (lambda: only_keys({"skipped": True}, ["name"]), "The task was skipped."),
        (lambda: only_keys(VMS, "name"), "only_keys wants a list of keys."),
        (lambda: joined(VMS, ["a"]), "joined wants a mapping to look in."),
        (lambda: joined([{"moid": "vm-1"}], {}), "joined wants entries with the key name."),
        (lambda: joined(3, {}), "joined wants a list of mappings."),
        (lambda: joined(VMS, {"a": "x"}), "joined wants a mapping for a."),
    ],
)
def test_what_fits_nothing_is_refused_in_words(call, words):
    with pytest.raises(AnsibleFilterError) as caught:
        call()
    assert words in str(caught.value)


def test_templates_within_the_entries_are_rendered(tmp_path):
    """From 2.19 on Ansible renders the values of a variable one by one, where they are read."""
    written = {"first": "a", "vms": [{"name": "{{ first }}", "moid": "vm-{{ first }}"}], "more": {"a": {"cpu": "{{ first }}"}}}
    asked = "{{ vms | vforge.vsphere.only_keys(['name']) | vforge.vsphere.joined(more) | to_json }}"
    play = {"hosts": "localhost", "gather_facts": False, "vars": written, "tasks": [kept(asked, tmp_path / "found.json")]}
    (tmp_path / "play.json").write_text(json.dumps([play]), encoding="utf-8")
    code, output = run_playbook("play.json", cwd=tmp_path, env=environment(tmp_path))
    assert code == 0, output
    assert json.loads((tmp_path / "found.json").read_text(encoding="utf-8")) == [{"name": "a", "cpu": "a"}]
