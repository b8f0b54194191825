# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for every module: its results are those documented, and what cannot work is said in one sentence."""

from __future__ import annotations

import importlib
import re
import textwrap
import uuid

import pytest
import yaml

from ansible_collections.vforge.vsphere.plugins import action as actions
from ansible_collections.vforge.vsphere.plugins import modules
from ansible_collections.vforge.vsphere.plugins.module_utils import _secrets
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import InFork
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.least import LEAST
from ansible_collections.vforge.vsphere.tests.unit.plugins.returned import FOLDER as _FOLDER
from ansible_collections.vforge.vsphere.tests.unit.plugins.returned import check
from vforge_module import HIDDEN, MASK, ModuleProcess
from vforge_sim import Simulator

_PATH = str(_FOLDER.parents[4])
_ALL = sorted(file.stem for file in _FOLDER.glob("[!_]*.py"))
# What only an action plugin does has no code here; what needs no vCenter has tests of its own.
_WITH_SPEC = [name for name in _ALL if "def argument_spec" in (_FOLDER / f"{name}.py").read_text(encoding="utf-8")]
_NAMES = [name for name in _ALL if "_argspec.connection()" in (_FOLDER / f"{name}.py").read_text(encoding="utf-8")]


@pytest.fixture
def module(shared_sim, tmp_path):
    """Each module by its name, in a fork; each result is held against the documentation."""
    return lambda which, **common: InFork(shared_sim, which, tmp_path, **common)


@pytest.fixture
def process(shared_sim, tmp_path):
    """Each module by its name, as a process that loads all anew, for what its environment decides."""
    return lambda which, **common: ModuleProcess(shared_sim, which, _PATH, tmp_path, **common)


def _returns(module, which, **params):
    """Run a module in check mode, for real and again; returns the first real result."""
    process = module(which, _ansible_diff=True, **params)
    checked, done, again = process.run(_ansible_check_mode=True), process.run(), process.run()
    assert (checked["changed"], again["changed"]) == (done["changed"], False)
    return done


def test_clones_are_reported_as_documented(module, shared_sim):
    guest = {"guest_username": shared_sim.guest_username, "guest_password": shared_sim.guest_password}
    parent, name = {"name": "golden-parent"}, f"told-{uuid.uuid4().hex[:8]}"
    clones = [{"name": f"{name}-a", "guestinfo": '{"role": "web"}'}, {"name": f"{name}-b", "customize": {"hostname": "b"}}]
    made = _returns(module, "instant_clone", parent=parent, clones=clones, wait_for_ip_address=True, **guest)
    assert made["changed"]
    failed = module("instant_clone").run(state="absent", parent=parent, name="golden-parent")
    assert failed["error_code"] == failed["failures"][0]["error_code"] == "invalid_option"
    assert _returns(module, "instant_clone", state="absent", parent=parent, clones=clones)["changed"]


def test_linked_clones_changed_blocks_and_cloud_init_are_reported_as_documented(module, tmp_path):
    name = f"told-{uuid.uuid4().hex[:8]}"
    source, vm = {"source": {"name": "server-00001"}, "name": name}, {"name": name}
    assert _returns(module, "linked_clone", **source, disk_mode="full", powered_on=False)["changed"]
    assert _returns(module, "cbt_changed_areas", vm=vm, state="enabled")["changed"]
    files = {"state_file": str(tmp_path / "state.json"), "runs": 2, "areas_directory": str(tmp_path)}
    asked = module("cbt_changed_areas", _ansible_diff=True).run(vm=vm, **files)
    assert asked["totals"]["disks"] == len(asked["vms"][0]["disks"]) > 0
    commit = {"state": "committed", "state_file": files["state_file"], "question": asked["question"]["id"]}
    committed = module("cbt_changed_areas", _ansible_diff=True).run(**commit)
    assert committed["changed"]
    data = {"metadata": {"local_hostname": name}, "userdata": "#cloud-config\npackages: [nginx]\n"}
    assert _returns(module, "cloud_init_guestinfo", vm=vm, **data)["changed"]
    assert module("cloud_init_guestinfo_info").run(vm=vm, show_content=True)["vms"][0]["name"] == name
    assert _returns(module, "cloud_init_guestinfo", vm=vm, state="redacted")["changed"]
    assert _returns(module, "linked_clone", **source, state="absent")["changed"]


def test_exports_and_backups_are_reported_as_documented(module, shared_sim, tmp_path):
    name = f"told-{uuid.uuid4().hex[:8]}"
    shared_sim.create_vm(name, on=False)
    assert _returns(module, "backup_clone", vm={"name": name}, fresh_hours=1, keep_last=2)["changed"]
    assert _returns(module, "vm_export", vm={"name": name}, dest=str(tmp_path / "exports"), format="ova")["changed"]


def test_templates_are_reported_as_documented(module, tiny_ova):
    template = {"name": f"told-{uuid.uuid4().hex[:8]}", "datacenter": "DC0"}
    place = {"cluster": "DC0_C0", "default_network": "VM Network"}
    assert _returns(module, "cached_ovf_template", **template, **place, source=str(tiny_ova.ova))["changed"]
    known = module("cached_ovf_template_info").run(**template, used_by=True)
    assert [each["name"] for each in known["templates"]] == [template["name"]]
    assert _returns(module, "cached_ovf_template", **template, state="absent")["changed"]


def test_parents_and_plans_are_reported_as_documented(make_sim, tmp_path):
    sim = make_sim("--vms", "0")
    guest = {"guest_username": sim.guest_username, "guest_password": sim.guest_password}
    parent = {"parent": {"name": "golden-parent"}}

    def own(which, **common):
        return InFork(sim, which, tmp_path, **common)

    _returns(own, "fleet_plan", name="web-##", count=3, golden=parent["parent"], clusters=["DC0_C0"], folder="/DC0/vm")
    assert _returns(own, "instant_clone_parent", **parent, **guest, on_wake=["printf woken"])["changed"]
    told = own("instant_clone_parent_info").run(**parent)
    assert told["parents"][0]["can_clone"]
    assert _returns(own, "instant_clone_parent", **parent, state="running", allow_reset=True)["changed"]


def test_forks_are_reported_as_documented(make_sim, tmp_path):
    sim = make_sim("--vms", "0", "--api-version", "6.5")
    guest = {"guest_username": sim.guest_username, "guest_password": sim.guest_password}
    children = [{"name": "child-1", "config_params": '{"hostname": "child-1"}'}]

    def own(which, **common):
        return InFork(sim, which, tmp_path, parent={"name": "golden-parent"}, **common)

    assert _returns(own, "fork_parent", state="quiesced", children=children, **guest)["changed"]
    gone = [{"name": "child-1", "state": "absent"}]
    assert _returns(own, "fork_parent", state="disabled", allow_reset=True, children=gone)["changed"]


@pytest.mark.parametrize("name", _NAMES)
def test_what_keeps_every_module_from_beginning_is_one_sentence(module, process, name, tmp_path):
    broken = tmp_path / "without"
    broken.mkdir()
    (broken / "pyVmomi.py").write_text("raise ImportError('none here')\n", encoding="utf-8")
    elsewhere = module(name, **LEAST[name]).run(hostname="127.0.0.1", port=1, session_cache=False)
    assert elsewhere["error_code"] == "unreachable"
    assert "127.0.0.1:1" in elsewhere["msg"]
    started = process(name, **LEAST[name])
    started.environment["PYTHONPATH"] = f"{broken}:{started.environment['PYTHONPATH']}"
    without = started.run()
    assert without["error_code"] == "missing_library"
    assert "pyvmomi" in without["msg"]
    check(name, without)
    assert "connect" in elsewhere["timing"]
    assert "connect" not in without["timing"]
    for result in (elsewhere, without):
        assert "\n" not in result["msg"]


# What Ansible shows of a secret.


def _says(result):
    """A result without its figures and its arguments."""
    return {key: value for key, value in result.items() if key not in ("invocation", "timing", "calls")}


@pytest.mark.parametrize("name", _NAMES)
def test_no_password_mutilates_what_a_module_says(module, name):
    result = module(name, **LEAST[name], session_cache=False).run(password=_secrets.sealed("wrong"))
    assert result["error_code"] == "wrong_credentials"
    assert not [mask for mask in ("********", MASK) if mask in str(_says(result))]
    assert result["invocation"]["module_args"]["password"] in HIDDEN


def test_a_password_from_the_environment_mutilates_nothing_either(process):
    started = process("instant_clone", **LEAST["instant_clone"], session_cache=False)
    told = []
    for password in ("wrong", "Of-no-word-of-ours-1"):
        started.environment["VMWARE_PASSWORD"] = password
        result = started.run()
        assert result["invocation"]["module_args"]["password"] in HIDDEN
        told.append(_says(result))
    assert told[0] == told[1]
    assert told[0]["error_code"] == "wrong_credentials"


@pytest.mark.parametrize("password", ["i", "imported", "DC0", "0"])
def test_a_password_that_is_a_word_of_the_result(simulator_binary, tmp_path, tiny_ova, password):
    place = {"cluster": "DC0_C0", "default_network": "VM Network", "source": str(tiny_ova.ova), "name": "web"}
    with Simulator(simulator_binary, "--vms", "0", password=password) as sim:
        result = InFork(sim, "cached_ovf_template", tmp_path, **place).run()
    assert result["actions"] == ["imported"]
    assert (result["template"]["name"], result["template"]["path"]) == ("web", "/DC0/vm/web")
    assert result["template"]["moid"].startswith("vm-")
    assert result["calls"]["by_method"]["ImportVApp"] == 1
    assert result["invocation"]["module_args"]["password"] in HIDDEN


def test_what_the_address_of_a_source_holds_is_shown_nowhere(module):
    process = module("cached_ovf_template", name="web")
    result = process.run(source="https://builder:hunter-two@127.0.0.1:9/web.ova?X-Amz-Signature=0f%2Fa7b31c")
    assert result["error_code"] == "source_unreadable"
    assert result["invocation"]["module_args"]["source"] == "https://127.0.0.1:9/web.ova"
    for secret in ("builder", "hunter-two", "0f%2Fa7b31c", "0f/a7b31c"):
        assert secret not in str(result)


def _yaml_blocks(text):
    """What a page shows as YAML, in Markdown or reStructuredText."""
    yield from re.findall(r"^```ya?ml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for block in re.findall(r"^\.\. code-block:: ya?ml(?:\+jinja)?\n\n((?:(?: {2,}.*)?\n)+)", text, re.MULTILINE):
        yield textwrap.dedent(block)


def _examples():
    """Every example: where it stands, and its text."""
    root = _FOLDER.parents[1]
    for name in _ALL:
        text = (_FOLDER / f"{name}.py").read_text(encoding="utf-8")
        yield name, text.partition('EXAMPLES = r"""')[2].partition('"""')[0]
    for page in sorted([root / "README.md", *root.glob("roles/*/README.md"), *root.glob("docs/docsite/rst/*.rst")]):
        for number, block in enumerate(_yaml_blocks(page.read_text(encoding="utf-8")), 1):
            yield f"{page.relative_to(root)} {number}", block


_EXAMPLES = dict(_examples())


def _tasks(data):
    """The tasks of our modules in a playbook or a list of tasks: the module and its arguments."""
    for item in data if isinstance(data, list) else []:
        for key, value in item.items():
            if key.startswith("vforge.vsphere.") and isinstance(value, dict):
                yield key.rpartition(".")[2], value
            elif key in ("tasks", "pre_tasks", "post_tasks", "block", "rescue", "always"):
                yield from _tasks(value)


def _written_out(value):
    """Arguments without those that only a run knows."""
    if isinstance(value, dict):
        return {key: each for key, inner in value.items() if (each := _written_out(inner)) is not None}
    if isinstance(value, list):
        return [each for inner in value if (each := _written_out(inner)) is not None]
    return None if isinstance(value, str) and "{{" in value else value


def _spec(name):
    """The options that a module, or the action plugin in its place, takes."""
    if name in _WITH_SPEC:
        return importlib.import_module(f"{modules.__name__}.{name}").argument_spec()
    return importlib.import_module(f"{actions.__name__}.{name}").ARGUMENTS


# The module that starts the others has neither options nor an action plugin.
@pytest.mark.parametrize("name", [name for name in _ALL if name not in (*_WITH_SPEC, "installed_module")])
def test_what_only_an_action_plugin_does_has_the_options_that_are_documented(name):
    text = (_FOLDER / f"{name}.py").read_text(encoding="utf-8")
    options = yaml.safe_load(text.partition('DOCUMENTATION = r"""')[2].partition('"""')[0])["options"]
    assert _as_spec(options) == _as_spec(_spec(name))


def _as_spec(options):
    """Options, of documentation or of an argument spec, with what both say of them."""
    kept = ("type", "elements", "required", "default", "choices")
    found = {}
    for key, item in options.items():
        found[key] = {each: item[each] for each in kept if each in item}
        inner = item.get("suboptions") or item.get("options")
        if inner:
            found[key]["options"] = _as_spec(inner)
    return found


@pytest.mark.parametrize("where", list(_EXAMPLES))
def test_examples_have_only_options_that_there_are(where):
    tasks = list(_tasks(yaml.safe_load(_EXAMPLES[where])))
    assert tasks or where not in _ALL
    for name, arguments in tasks:
        if name in _ALL:
            at_run_time = {key for key, value in arguments.items() if _written_out(value) is None}
            spec = {key: {**item, "required": False} if key in at_run_time else item for key, item in _spec(name).items()}
            accepted(spec, _written_out(arguments))
