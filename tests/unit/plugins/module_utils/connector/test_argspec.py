# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is documented and what is accepted are the same."""

from __future__ import annotations

import re

import pytest
import yaml

from ansible_collections.vforge.vsphere.plugins.doc_fragments import (
    clone_task,
    connection,
    guest,
    parents,
    vm_selector,
)
from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import Selector
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.modules import cbt_changed_areas, instant_clone, linked_clone

FRAGMENTS = [(connection, _argspec.connection), (vm_selector, _argspec.vm_selector)]
FRAGMENTS += [(guest, _argspec.guest), (parents, _argspec.parents)]
FRAGMENTS += [(clone_task, _argspec.clone_task)]


def documented(text):
    return yaml.safe_load(text)["options"]


def essence(option):
    """What of a documented or accepted option must agree; descriptions, secrecy and fall-backs have no counterpart."""
    return {
        "type": option.get("type", "str"),
        "default": option.get("default"),
        "aliases": option.get("aliases", []),
        "choices": option.get("choices"),
        "elements": option.get("elements"),
        "required": option.get("required", False),
    }


def essences(options):
    return {name: essence(option) for name, option in options.items()}


@pytest.mark.parametrize(("fragment", "spec"), FRAGMENTS)
def test_a_fragment_says_what_its_argument_spec_accepts(fragment, spec):
    assert fragment.__name__.rsplit(".", 1)[-1] == spec.__name__
    assert essences(documented(fragment.ModuleDocFragment.DOCUMENTATION)) == essences(spec())


@pytest.mark.parametrize(("fragment", "spec"), FRAGMENTS)
def test_each_environment_variable_is_documented_with_its_option(fragment, spec):
    told = documented(fragment.ModuleDocFragment.DOCUMENTATION)
    for name, option in spec().items():
        variables = option.get("fallback", (None, []))[1]
        described = " ".join(told[name]["description"])
        assert re.findall(r"E\(([A-Z_]+)\)", described) == variables, name


@pytest.mark.parametrize(("module", "option"), [(instant_clone, "parent"), (linked_clone, "source")])
def test_what_is_cloned_is_named_like_any_other_vm(module, option):
    told = documented(module.DOCUMENTATION)[option]["suboptions"]
    assert essences(told) == essences(_argspec.vm_selector())
    assert module.argument_spec()[option]["options"] == _argspec.vm_selector()


@pytest.mark.parametrize("option", ["parent", "parents"])
def test_parents_are_selectors_like_any_other(option):
    told = documented(parents.ModuleDocFragment.DOCUMENTATION)[option]["suboptions"]
    assert essences(told) == essences(_argspec.vm_selector())


@pytest.mark.parametrize("module", [instant_clone, linked_clone])
def test_customization_is_documented_as_it_is_accepted(module):
    told = documented(module.DOCUMENTATION)["customize"]
    assert _differing(told["suboptions"], _argspec.customization()) == []


@pytest.mark.parametrize("option", [*_argspec.clone_item(), *_argspec.customize()])
def test_what_both_ways_of_cloning_have_is_documented_in_the_same_words(option):
    of_one, of_other = (documented(module.DOCUMENTATION) for module in (instant_clone, linked_clone))
    assert of_one[option] == of_other[option]
    for told in (of_one, of_other):
        assert told["clones"]["suboptions"][option] == told[option]


@pytest.mark.parametrize("module", [instant_clone, linked_clone])
def test_the_items_of_a_list_of_clones_are_documented_as_they_are_accepted(module):
    told = documented(module.DOCUMENTATION)["clones"]["suboptions"]
    assert _differing(told, module.argument_spec()["clones"]["options"]) == []


def _differing(documented_options, accepted, path=""):
    """The places, with their suboptions, at which what is documented is not what is accepted."""
    below = [
        place
        for name, option in accepted.items()
        if "options" in option and name in documented_options
        for place in _differing(documented_options[name]["suboptions"], option["options"], f"{path}{name}.")
    ]
    here = essences(documented_options) == essences(accepted)
    return below if here else [path or "top", *below]


@pytest.mark.parametrize("option", ["vm", "vms"])
def test_the_vms_of_changed_areas_are_selectors_like_any_other(option):
    told = documented(cbt_changed_areas.DOCUMENTATION)
    accepted = cbt_changed_areas.argument_spec()
    assert essences(told) == {name: essence(accepted[name]) for name in told}
    assert essences(told[option]["suboptions"]) == essences(accepted[option]["options"])
    for name in ("disks", "snapshot"):
        assert told[name]["suboptions"].keys() == accepted[name]["options"].keys()
        assert accepted["vms"]["options"][name] == accepted[name]
        assert essences(told[name]["suboptions"]) == essences(told["vms"]["suboptions"][name]["suboptions"])
        assert essences(told[name]["suboptions"]) == essences(accepted[name]["options"])


def test_every_option_is_taken_into_account():
    assert set(_argspec.connection()) == set(ConnectionOptions.__dataclass_fields__)
    assert set(_argspec.vm_selector()) == set(Selector.__dataclass_fields__)


def test_secrets_are_marked_as_such():
    assert [name for name, option in _argspec.connection().items() if option.get("no_log")] == ["password"]
    assert [name for name, option in _argspec.guest().items() if option.get("no_log")] == ["guest_password"]
