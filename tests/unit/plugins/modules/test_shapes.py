# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arguments of a wrong shape, for every option of every module: by the module's own argument spec, before Ansible sees them."""

from __future__ import annotations

import importlib
import pathlib
import types

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins import action as actions
from ansible_collections.vforge.vsphere.plugins import modules
from ansible_collections.vforge.vsphere.plugins.module_utils import _secrets
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.plugin_utils import shapes
from ansible_collections.vforge.vsphere.plugins.plugin_utils.argument_specs import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.least import LEAST

_NAMES = sorted(LEAST)
_FOLDER = pathlib.Path(next(iter(modules.__path__)))

# A value of each shape, and of each kind that is one value.
_SHAPES = {
    "text": "golden",
    "number": 4096,
    "fraction": 1.5,
    "bool": True,
    "list": ["a", "p"],
    "numbers": [1, 2],
    "lists": [["a"]],
    "mapping": {"no such key": 1},
    "mappings": [{"no such key": 1}],
}


def _every_option(spec, path=()):
    """Each option, at every depth: the options it is in, and its own entry."""
    for name, accepted in spec.items():
        yield (*path, (name, accepted))
        yield from _every_option(accepted.get("options") or {}, (*path, (name, accepted)))


def _inside(path, value):
    """Arguments in which the option at the end of a path has a value."""
    for name, _accepted in reversed(path):
        inside = {name: value}
        value = inside
        outer = path[[each[0] for each in path].index(name) - 1][1] if name != path[0][0] else {}
        if outer.get("type") == "list":
            value = [inside]
    return value


def _options():
    for name in _NAMES:
        for path in _every_option(argument_spec(name)):
            yield pytest.param(name, path, id=f"{name}-{'.'.join(option for option, _accepted in path)}")


_MAPPINGS = [
    pytest.param(*each.values, id=each.id)
    for each in _options()
    if each.values[1][-1][1].get("type") in ("dict", "json") or each.values[1][-1][1].get("elements") == "dict"
]


def _fitted_or_refused(args, spec):
    try:
        return shapes.fitted(args, spec), None
    except InvalidOption as error:
        return None, error


def _refusal(args, spec):
    with pytest.raises(InvalidOption) as raised:
        shapes.fitted(args, spec)
    return raised.value


@pytest.mark.parametrize("name", _NAMES)
def test_the_spec_that_an_action_plugin_reads_is_the_modules(name):
    assert argument_spec(name) == importlib.import_module(f"{modules.__name__}.{name}").argument_spec()


@pytest.mark.parametrize(("name", "path"), list(_options()))
def test_no_shape_gets_to_ansible_that_it_would_not_understand(name, path):
    spec, (option, accepted) = argument_spec(name), path[-1]
    for kind, value in _SHAPES.items():
        fitted, refused = _fitted_or_refused(_inside(path, value), spec)
        if refused is None:
            # What is wrong with it otherwise is said by Ansible, in one sentence that names the option.
            said = ArgumentSpecValidator(spec).validate(fitted).error_messages
            assert [text for text in said if "to dict" in text or "dictionary" in text] == [], kind
            continue
        assert refused.error_code == "invalid_option"
        if refused.details["option"] == "no such key":
            assert refused.message.startswith("There is no option no such key in "), kind
            continue
        assert refused.details["option"] == option, kind
        assert f"Write it as {option}: " in str(refused), kind
        assert "\n" not in str(refused), kind
        assert not accepted.get("no_log") or str(value) not in refused.message, kind


@pytest.mark.parametrize(
    ("name", "path"), [each for each in _options() if each.values[1][-1][1].get("type") in ("int", "float")]
)
def test_true_is_no_number(name, path):
    refused = _refusal(_inside(path, True), argument_spec(name))
    assert (refused.error_code, refused.details["option"]) == ("invalid_option", path[-1][0])
    assert "where a number is wanted" in str(refused)


@pytest.mark.parametrize(("name", "path"), _MAPPINGS)
def test_one_value_for_a_mapping_is_refused_or_is_its_name(name, path):
    spec, (option, accepted) = argument_spec(name), path[-1]
    for value in (42, 4.5, True):
        error = _refusal(_inside(path, value), spec)
        assert error.details["option"] == option
        if not accepted.get("no_log"):
            assert ("true" if value is True else str(value)) in error.message
    if "name" in (accepted.get("options") or {}):
        one = {"name": "golden"}
        wanted = [one] if accepted["type"] == "list" else one
        assert shapes.fitted(_inside(path, "golden"), spec) == _inside(path, wanted)
    else:
        assert _refusal(_inside(path, "golden"), spec).details["option"] == option


@pytest.mark.parametrize(("name", "path"), _MAPPINGS)
def test_the_example_in_a_message_is_accepted(name, path):
    spec, (option, accepted) = argument_spec(name), path[-1]
    said = str(_refusal(_inside(path, 42), spec))
    example = yaml.safe_load(said.partition(f"Write it as {option}: ")[2].removesuffix("."))
    fitted = shapes.fitted(_inside(path, example), spec)
    assert fitted == _inside(path, example)
    assert ArgumentSpecValidator({option: accepted}).validate({option: example}).error_messages == []


@pytest.mark.parametrize(("name", "path"), list(_options()))
def test_nothing_that_ansible_looks_for_can_be_a_part_of_our_own_words(name, path):
    """Whatever a secret option is given, what Ansible stars out is sealed, or occurs nowhere."""
    accepted = path[-1][1]
    if not accepted.get("no_log"):
        return
    action = importlib.import_module(f"{actions.__name__}.{name}").ActionModule
    for value in ("i", ["i"], ["i", "on"], {"a": "i"}, '{"a": "i"}', "{}", {}, 1, 1.5, True, [1], [True]):
        plugin = action.__new__(action)
        plugin._task = types.SimpleNamespace(args=_inside(path, value))
        try:
            given_to_module = plugin.arguments()
        except InvalidOption:
            continue
        known = ArgumentSpecValidator(argument_spec(name)).validate(given_to_module)._no_log_values
        for text in known:
            assert text.startswith(_secrets.sealed("")) or text.endswith("\n") or text[:1] in '{["', (value, text)
            assert text not in ("{}", "[]", '""')


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("golden", {"name": "golden"}),
        ("web=1", {"name": "web=1"}),
        ("{braces}", {"name": "{braces}"}),
        ("/DC0/vm/golden", {"path": "/DC0/vm/golden"}),
        ("name=golden", {"name": "golden"}),
        ('{"moid": "vm-1"}', {"moid": "vm-1"}),
        ({"name": "golden"}, {"name": "golden"}),
        ("", None),
        (None, None),
    ],
)
def test_a_vm_is_named_by_a_text(value, wanted):
    assert shapes.fitted({"parent": value}, argument_spec("instant_clone")) == {"parent": wanted}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (["x1", "x2"], [{"name": "x1"}, {"name": "x2"}]),
        (["x1", {"name": "x2", "parent": "golden"}], [{"name": "x1"}, {"name": "x2", "parent": {"name": "golden"}}]),
        ("x1", [{"name": "x1"}]),
        ({"name": "x1"}, [{"name": "x1"}]),
        ([], []),
        ("", None),
    ],
)
def test_clones_are_named_by_texts(value, wanted):
    assert shapes.fitted({"clones": value}, argument_spec("instant_clone")) == {"clones": wanted}


class _Encrypted:
    """What ansible-core 2.17 and 2.18 make of a value with the tag !vault."""

    __ENCRYPTED__ = True

    def __init__(self, text):
        self._text = text

    def __str__(self):
        return self._text


def test_what_the_playbook_has_encrypted_is_the_text_that_it_is():
    given = {
        "parent": _Encrypted("golden"),
        "password": _Encrypted("a-secret"),
        "clones": [_Encrypted("web-1")],
        "guestinfo": _Encrypted('{"token": "a-secret"}'),
    }
    wanted = {
        "parent": {"name": "golden"},
        "password": "a-secret",
        "clones": [{"name": "web-1"}],
        "guestinfo": {"token": "a-secret"},
    }
    assert shapes.fitted(given, argument_spec("instant_clone")) == wanted


@pytest.mark.parametrize(
    ("name", "args", "sentence"),
    [
        (
            "linked_clone",
            {"memory": 4096},
            "The option memory is the number 4096, where a mapping is wanted. Write it as memory: {size_mb: 4096}.",
        ),
        (
            "linked_clone",
            {"cpu": 4},
            "The option cpu is the number 4, where a mapping is wanted. Write it as cpu: {cores: 4}.",
        ),
        (
            "linked_clone",
            {"cpu": {"cores": True}},
            "The option cores of cpu is true, where a number is wanted. Write it as cores: 1.",
        ),
        (
            "instant_clone",
            {"parent": 42},
            'The option parent is the number 42, where a mapping is wanted. Write it as parent: {name: "42"}.',
        ),
        (
            "linked_clone",
            {"networks": "VM Network"},
            "The option networks is the text 'VM Network', where a list of mappings is wanted. "
            "Write it as networks: [{label: Network adapter 1, network: VM Network}].",
        ),
        (
            "instant_clone",
            {"guestinfo": ["a-secret", "p"]},
            "The option guestinfo is a list, where a mapping is wanted. Write it as guestinfo: {hostname: web-1}.",
        ),
        (
            "instant_clone",
            {"clones": ["x1", {"name": "x2", "parent": 42}]},
            "The option parent of clones, item 2 is the number 42, where a mapping is wanted. "
            'Write it as parent: {name: "42"}.',
        ),
        (
            "instant_clone",
            {"clones": [7]},
            "In clones, item 1, there is the number 7, where a mapping is wanted. "
            "Write it as clones: [{name: web-1}, {name: web-2}].",
        ),
        (
            "instant_clone",
            {"clones": "x1, x2"},
            "The option clones is the text 'x1, x2', where a list of mappings is wanted. "
            "Write it as clones: [{name: web-1}, {name: web-2}].",
        ),
        (
            "vm_from_disks",
            {"networks": ["VM Network", None]},
            "Item 2 of the option networks is null. Give it a value, or take it out; a variable may be empty.",
        ),
        (
            "instant_clone",
            {"clones": [{"name": "x1", "customize": {"dns_servers": [None]}}]},
            "Item 1 of the option dns_servers of clones, item 1, customize is null. "
            "Give it a value, or take it out; a variable may be empty.",
        ),
        (
            "instant_clone",
            {"clones": [{"name": False}]},
            "The option name of clones, item 1 is false, where a text is wanted. Write it as name: web-1. "
            "YAML takes yes, no, on and off for true and false: put such a text in quotes.",
        ),
        (
            "vm_from_disks",
            {"networks": ["VM Network", False]},
            "Item 2 of the option networks is false, where a text is wanted. "
            "YAML takes yes, no, on and off for true and false: put such a text in quotes.",
        ),
        (
            "vm_restore",
            {"repository": "", "vm": "web-1"},
            "The option repository is empty. It is required: give it a value; a variable may be empty.",
        ),
        (
            "vm_restore",
            {"repository": "/srv/backups", "vm": None},
            "The option vm is empty. It is required: give it a value; a variable may be empty.",
        ),
        (
            "instant_clone",
            {"clones": [{"name": "x1"}, {"name": None}]},
            "The option name of clones, item 2 is empty. It is required: give it a value; a variable may be empty.",
        ),
        (
            "instant_clone",
            {"clones": [None]},
            "In clones, item 1, there is null, where a mapping is wanted. Write it as clones: [{name: web-1}, {name: web-2}].",
        ),
        (
            "linked_clone",
            {"folder": {"name": "web"}},
            "The option folder is a mapping, where a text is wanted. Write it as folder: TEXT.",
        ),
        (
            "instant_clone",
            {"parent": "golden", "clone": [{"name": "x1"}], "foldr": "web"},
            "There is no option clone (did you mean clones?) and no option foldr (did you mean folder?).",
        ),
        (
            "instant_clone",
            {"parent": {"nmae": "golden"}},
            "There is no option nmae in parent (did you mean name?).",
        ),
        (
            "linked_clone",
            {"clones": ["x1", {"name": "x2", "cpu": {"sockets": 2}}]},
            "There is no option sockets in clones, item 2, cpu. There are: cores, cores_per_socket.",
        ),
    ],
)
def test_a_refusal_names_the_option_what_was_given_and_an_example(name, args, sentence):
    assert str(_refusal(args, argument_spec(name))) == sentence


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(_NAMES), st.data())
def test_whatever_is_given_is_fitted_or_refused_and_what_fits_is_left_alone(name, data):
    spec = argument_spec(name)
    args = data.draw(st.dictionaries(st.sampled_from(sorted(spec)), _VALUES, max_size=3))
    try:
        once = shapes.fitted(args, spec)
    except InvalidOption:
        return
    assert shapes.fitted(once, spec) == once


@pytest.mark.parametrize("name", _NAMES)
def test_what_is_right_stays_as_it_is(name):
    assert shapes.fitted(LEAST[name], argument_spec(name)) == LEAST[name]
