# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users may take for granted in every module. A new module is in these tests by being in plugins/modules."""

from __future__ import annotations

import importlib
import json
import pathlib
import re

import pytest
import yaml
from ansible.module_utils import basic
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.vforge.vsphere.plugins import doc_fragments, modules
from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.least import LEAST

_FOLDER = pathlib.Path(next(iter(modules.__path__)))
_ALL = sorted(file.stem for file in _FOLDER.glob("[!_]*.py"))
# What needs no vCenter has tests of its own.
_NAMES = [name for name in _ALL if "_argspec.connection()" in (_FOLDER / f"{name}.py").read_text(encoding="utf-8")]
_CHANGE = [name for name in _NAMES if not name.endswith("_info")]

# The first sentence about each option that means the same everywhere.
_SENTENCES = {
    "timeout": "Seconds that the task may take, from its beginning.",
    "parallel": "How many calls are made at the same time, from 1 to 64.",
    "datacenter": "Name or path of the datacenter to look in.",
    "folder": "VM folder, as a whole path (V(/DC0/vm/web)) or below the VM folder of the datacenter (V(web)).",
    "on_error": "What becomes of what this task made when something else failed.",
}
_TYPES = {"timeout": "int", "parallel": "int", "datacenter": "str", "folder": "str", "on_error": "str"}
_DEFAULTS = {"timeout": {300, 900, 3600}, "parallel": {8}, "datacenter": {None}, "folder": {None}, "on_error": {"keep"}}
_CHOICES = {"on_error": ["keep", "rollback"]}

# What each module with a connection returns of its calls.
_CALLS = {
    "description": (
        "SOAP calls of the task, with C(total), C(update_rounds) (waiting, not in the total), C(by_method), "
        "C(bytes_received) and, of these, C(bytes_by_phase)."
    ),
    "returned": "when a connection was tried",
    "type": "dict",
}

_VM = {"name": "web-1"}
_SAMPLES = {
    **dict.fromkeys(("parent", "vm", "source", "golden"), _VM),
    **{option: [_VM] for option in ("parents", "vms", "clones")},
    "proxy_port": 3128,
    "key": 2000,
    "index": 0,
    "linux": {"domain": "example.com"},
    "windows": {"full_name": "Web team"},
    "clusters": ["DC0_C0"],
}


def _module(name):
    return importlib.import_module(f"{modules.__name__}.{name}")


def _data(text, part):
    return yaml.safe_load(text.partition(f'{part} = r"""')[2].partition('"""')[0])


def _documented(name, part="DOCUMENTATION"):
    """A block of a module's documentation, its fragments taken in."""
    found = _data((_FOLDER / f"{name}.py").read_text(encoding="utf-8"), part)
    for fragment in found.get("extends_documentation_fragment", ()) if part == "DOCUMENTATION" else ():
        text = importlib.import_module(
            f"{doc_fragments.__name__}.{fragment.rpartition('.')[2]}"
        ).ModuleDocFragment.DOCUMENTATION
        found["options"] = {**(yaml.safe_load(text).get("options") or {}), **(found.get("options") or {})}
    return found


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a module in this process, without any vCenter. Returns what it said at its end."""
    for name in ("HOST", "USER", "PASSWORD", "PROXY_HOST", "PROXY_PORT"):
        monkeypatch.delenv(f"VMWARE_{name}", raising=False)

    def run_module(name, /, **params):
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": params}).encode())
        if hasattr(basic, "_ANSIBLE_PROFILE"):  # since ansible-core 2.19
            monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
        with pytest.raises(SystemExit):
            _module(name).main()
        return json.loads(capsys.readouterr().out.strip().splitlines()[-1])

    return run_module


@pytest.mark.parametrize("name", _NAMES)
def test_an_option_that_several_modules_have_means_the_same_in_each(name):
    accepted, documented = _module(name).argument_spec(), _documented(name)["options"]
    for option in _SENTENCES.keys() & accepted.keys():
        kind, default = accepted[option]["type"], accepted[option].get("default")
        assert (kind, accepted[option].get("choices")) == (_TYPES[option], _CHOICES.get(option)), option
        assert default in _DEFAULTS[option], option
        assert (documented[option]["type"], documented[option].get("default")) == (kind, default), option
        assert documented[option]["description"][0].startswith(_SENTENCES[option]), option


# Long, and made of letters and digits by chance.
_NEVER_WORDS = {"token", "client_key"}


def test_no_role_hides_what_may_be_a_word():
    """A password, or a value of a mapping. ansible-core 2.22 looks for each value of an option with no_log in all that
    the run still shows, and would mask the word in names and messages. The roles show none of them, and what modules get
    is sealed.
    """
    found = list((_FOLDER.parents[1] / "roles").glob("*/meta/argument_specs.yml"))
    assert found
    for file in found:
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))["argument_specs"].values()
        hidden = {name for entry in entries for name, option in _at_every_depth(entry.get("options")) if option.get("no_log")}
        assert hidden <= _NEVER_WORDS, file


def _at_every_depth(options):
    for name, option in (options or {}).items():
        yield name, option
        yield from _at_every_depth(option.get("options"))


@pytest.mark.parametrize("path", ["plugins/**/*.py", "roles/*/meta/argument_specs.yml"])
def test_everything_came_with_a_release_that_there_is(path):
    root = _FOLDER.parents[1]
    releases = yaml.safe_load((root / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))["releases"]
    texts = [file.read_text(encoding="utf-8") for file in root.glob(path)]
    versions = {version for text in texts for version in re.findall(r"version_added: [\"']?([0-9.]+)", text)}
    assert versions
    assert versions <= set(releases)


@pytest.mark.parametrize("name", _NAMES)
def test_every_module_ends_in_time(name):
    assert "timeout" in _module(name).argument_spec()


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("option", sorted(_argspec.BOUNDS))
def test_what_is_out_of_bounds_is_refused_by_its_name(run, name, option):
    if option not in _module(name).argument_spec():
        assert option == "parallel"
        return
    least, most = _argspec.BOUNDS[option]
    for value in (least - 1, most + 1, -(2**40), 2**40):
        result = run(name, **LEAST[name], **{option: value})
        assert (result["error_code"], result["option"]) == ("invalid_option", option)
        assert str(value) in result["msg"]
    for value in (least, most):
        result = run(name, **LEAST[name], **{option: value})
        assert (result["error_code"], result["option"]) == ("invalid_option", "hostname")


@pytest.mark.parametrize("name", [*_NAMES, "backup_info", "backup_repository"])
def test_every_module_returns_its_times_and_its_calls(name):
    returned = _documented(name, "RETURN")
    assert {key: returned[key]["returned"] for key in ("timing", "error_code")} == {
        "timing": "always",
        "error_code": "on failure",
    }
    assert ("calls" in returned) is (name in _NAMES)
    if "calls" in returned:
        assert returned["calls"] == _CALLS


@pytest.mark.parametrize("name", _NAMES)
def test_every_entry_says_what_it_is_of_and_how_it_went(name):
    returned = _documented(name, "RETURN")
    entries = [
        item["contains"] for item in returned.values() if item.get("elements") == "dict" and "moid" in item.get("contains", ())
    ]
    wanted = {"name", "moid", "path"} | ({"changed", "error"} if name in _CHANGE else set())
    assert [wanted - each.keys() for each in entries if not wanted <= each.keys()] == []


def _breaks(spec, rules, base):
    """Each constraint: its kind, its options, and parameters that break it."""
    samples = {option: _SAMPLES.get(option, "x") for option in spec}
    for options in rules.get("mutually_exclusive") or ():
        yield "mutually_exclusive", options, {**base, **{option: samples[option] for option in options}}
    for options in rules.get("required_one_of") or ():
        yield "required_one_of", options, _without(base, options)
    for first, *others in rules.get("required_together") or ():
        yield "required_together", [first, *others], {**_without(base, others), first: samples[first]}
    for option, value, options, *_one_is_enough in rules.get("required_if") or ():
        yield "required_if", options, {**_without(base, options), option: value}
    for option, options in (rules.get("required_by") or {}).items():
        yield "required_by", options, {**_without(base, options), option: samples[option]}


def _without(params, options):
    return {key: value for key, value in params.items() if key not in options}


def _all_breaks(spec, rules, base):
    """As ``_breaks``, and those of suboptions, at every depth."""
    yield from _breaks(spec, rules, base)
    for option, accepted in spec.items():
        if "options" in accepted:
            required = {key: "web-1" for key, item in accepted["options"].items() if item.get("required")}
            one_way = [options[0] for options in accepted.get("required_one_of") or ()]
            inner = {**required, **{key: _SAMPLES.get(key, "x") for key in one_way}}
            for kind, options, broken in _all_breaks(accepted["options"], accepted, inner):
                yield kind, options, {**base, option: [broken] if accepted["type"] == "list" else broken}


@pytest.mark.parametrize("name", _NAMES)
def test_each_constraint_is_refused_by_ansible_and_by_us_with_the_same_code(run, name):
    module = _module(name)
    validator = ArgumentSpecValidator(module.argument_spec(), **module.rules())
    breaks = list(_all_breaks(module.argument_spec(), module.rules(), LEAST[name]))
    assert breaks
    for kind, options, params in breaks:
        said = [text for text in validator.validate(params).error_messages if all(option in text for option in options)]
        assert said, (kind, options, params)
        result = run(name, **params)
        assert (result["failed"], result["error_code"]) == (True, "invalid_option"), (kind, options)
        assert "\n" not in result["msg"]
        assert result["timing"]["total"] >= 0
    assert validator.validate(LEAST[name]).error_messages == []


_GUEST = {"guest_username": "root", "guest_password": "a-secret-of-the-guest"}


@pytest.mark.parametrize(
    ("name", "params", "hint"),
    [
        ("instant_clone_parent", {"parent": _VM, "parents": [_VM], **_GUEST}, "Set either parent, for one VM, or parents"),
        ("instant_clone_parent", {"parent": _VM}, "Freezing runs a command in the guest"),
        ("instant_clone_parent_info", {}, "Set either parent, for one VM, or parents"),
        ("fork_parent", {"parent": _VM, "guest_username": "root"}, "A guest wants both a user and a password."),
        ("cbt_changed_areas", {"vm": _VM, "vms": [_VM]}, "Set either vm, for one VM, or vms"),
        ("cbt_changed_areas", {"state": "committed", "question": "q"}, "the option state_file is required"),
        ("cbt_changed_areas", {"vm": _VM, "disks": [{"key": 1, "unit": "scsi0:0"}]}, "exactly one of label, key, unit"),
        ("cloud_init_guestinfo", {"userdata": "#cloud-config"}, "Set either vm, for one VM, or vms"),
        ("cloud_init_guestinfo_info", {"vm": {**_VM, "moid": "vm-1"}}, "Set exactly one of name, path, uuid and moid."),
        ("instant_clone", {"parent": _VM, "name": "a", "clones": []}, "Set either name, for one clone, or clones"),
        ("instant_clone", {"name": "a"}, "Name the running VM to clone."),
        ("linked_clone", {"source": {"folder": "web"}, "name": "a"}, "Set exactly one of name, path, uuid and moid."),
        ("linked_clone", {"name": "a", "state": "published"}, "Name the VM or template to clone."),
        ("fleet_plan", {"name": "a-#", "clusters": ["c"]}, "Name the VM or template to make parents of."),
        ("fleet_plan", {"name": "a-#", "golden": _VM}, "Say where the fleet may be."),
        ("cached_ovf_template", {"name": "a"}, "Name an OVA or an OVF descriptor."),
        ("cached_ovf_template", {"name": "a", "source": "a.ova", "source_password": "p"}, "needs source_username"),
        (
            "cached_ovf_template",
            {"name": "a", "source": "a.ova", "datastore": "b", "datastore_cluster": "c"},
            "either datastore or datastore_cluster",
        ),
    ],
)
def test_a_combination_that_cannot_be_is_in_the_spec_and_its_message_says_what_to_do(run, name, params, hint):
    module = _module(name)
    assert ArgumentSpecValidator(module.argument_spec(), **module.rules()).validate(params).error_messages
    result = run(name, **params)
    assert result["error_code"] == "invalid_option"
    assert hint in result["msg"]


@pytest.mark.parametrize("name", _NAMES)
def test_the_documentation_of_options_names_those_that_they_need_or_exclude(name):
    described = {option: " ".join(item["description"]) for option, item in _documented(name)["options"].items()}
    rules = _module(name).rules()
    pairs = [rule for kind in ("mutually_exclusive", "required_one_of", "required_together") for rule in rules.get(kind, [])]
    pairs += [(option, *needed) for option, needed in rules.get("required_by", {}).items()]
    pairs += [(*needed, option) for option, _value, needed, *_one_is_enough in rules.get("required_if", [])]
    silent = [
        options
        for options in pairs
        if not any(f"O({other}" in described[one] for one in options for other in options if other != one)
    ]
    assert silent == []


@pytest.mark.parametrize("name", _NAMES)
def test_half_a_proxy_is_refused_in_ansibles_words_where_ours_come_later(run, name):
    result = run(name, **LEAST[name], proxy_host="proxy.example.com")
    assert result["error_code"] == "invalid_option"
    assert "proxy_host, proxy_port" in result["msg"]


@pytest.mark.parametrize("empty", [None, ""])
def test_null_and_an_empty_text_are_not_set(run, empty):
    place = {"datastore": "ssd", "datastore_cluster": empty, "proxy_host": empty}
    result = run("cached_ovf_template", **LEAST["cached_ovf_template"], **place)
    assert result["option"] == "hostname"
    result = run("cloud_init_guestinfo_info", vm={**_VM, "moid": empty}, vms=None)
    assert result["option"] == "hostname"


@pytest.mark.parametrize("name", _NAMES)
def test_what_ansible_itself_refuses_has_a_code_too(run, name):
    for wrong in ({"no_such_option": 1}, {"timeout": "soon"}, {"port": []}):
        result = run(name, **{**LEAST[name], **wrong})
        assert (result["failed"], result["error_code"]) == (True, "invalid_option")
        assert next(iter(wrong)) in result["msg"]
        assert result["timing"]["total"] >= 0


@pytest.mark.parametrize("name", _NAMES)
def test_an_environment_variable_that_is_empty_is_not_set(run, monkeypatch, name):
    spec = _module(name).argument_spec()
    variables = {option: item["fallback"][1] for option, item in spec.items() if "fallback" in item}
    assert {"hostname", "port", "validate_certs"} <= variables.keys()
    for names in variables.values():
        for variable in names:
            monkeypatch.setenv(variable, "")
    found = ArgumentSpecValidator(spec).validate(LEAST[name])
    assert found.error_messages == []
    unset = {option: spec[option].get("default") for option in variables if option not in LEAST[name]}
    assert {option: found.validated_parameters.get(option) for option in unset} == unset
    result = run(name, **LEAST[name])
    assert (result["error_code"], result["option"]) == ("invalid_option", "hostname")


def test_the_action_group_has_every_module_that_connects_and_no_other():
    groups = yaml.safe_load((_FOLDER.parents[1] / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    assert groups == {"all": _NAMES}
