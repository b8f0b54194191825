# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How modules start: where the collection is installed, or from Ansible's file, and with how much of the collection."""

from __future__ import annotations

import ast
import json
import pathlib
import re
import subprocess

import pytest
from ansible.module_utils import basic

from ansible_collections.vforge.vsphere.plugins import module_utils, modules
from ansible_collections.vforge.vsphere.plugins.modules import installed_module
from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import PLAYBOOK, environment, kept
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.least import LEAST
from vforge_module import ModuleProcess

_FOLDER = pathlib.Path(next(iter(modules.__path__)))
_UTILS = pathlib.Path(next(iter(module_utils.__path__)))
_PATH = _FOLDER.parents[4]

# Runs last in the process of a module, and says on its standard error what is loaded by then.
_COUNT = """
import atexit, dataclasses, json, sys

def count():
    ours = [module for name, module in sys.modules.items() if name.startswith("ansible_collections.") and module.__file__]
    classes = [each for module in ours for each in vars(module).values() if getattr(each, "__module__", "") == module.__name__]
    loaded = {
        "modules": len(ours),
        "dataclasses": sum(isinstance(each, type) and dataclasses.is_dataclass(each) for each in classes),
        "late": sorted({"requests", "cryptography", "jsonschema", "zstandard", "jinja2"} & set(sys.modules)),
    }
    print(json.dumps(loaded), file=sys.stderr)

atexit.register(count)
"""


def _of_ansible(file):
    """The modules of Ansible that a file imports, whether as a whole or by names in them."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ansible.module_utils"):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from whole & _KNOWN or {node.module}


_KNOWN = {f"ansible.module_utils.{name}" for name in ("basic", "errors", "common.arg_spec")}


def test_the_starter_brings_what_the_modules_need_of_ansible():
    needed = {name for file in (*_FOLDER.glob("*.py"), *_UTILS.rglob("*.py")) for name in _of_ansible(file)}
    assert set(_of_ansible(pathlib.Path(installed_module.__file__))) == needed


def test_a_playbook_that_calls_the_starter_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": {}}).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    monkeypatch.delenv(installed_module.VARIABLE, raising=False)
    with pytest.raises(SystemExit):
        installed_module.main()
    result = json.loads(capsys.readouterr().out)
    assert (result["failed"], result["error_code"]) == (True, "invalid_option")
    assert result["msg"].endswith("Call the module that is to run.")


@pytest.fixture
def play(tmp_path):
    """A function that plays tasks on this machine, with nothing that answers; returns their results and all of the output."""

    def run(*tasks):
        steps = [{**task, "register": f"done_{number}", "ignore_errors": True} for number, task in enumerate(tasks)]
        names = ", ".join(step["register"] for step in steps)
        steps.append(kept(f"{{{{ [{names}] | to_json }}}}", tmp_path / "done.json"))
        (tmp_path / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": steps}]))
        nobody = {"VMWARE_HOST": "127.0.0.1", "VMWARE_PORT": "1", "VMWARE_USER": "somebody", "VMWARE_PASSWORD": "of-somebody"}
        ended = subprocess.run(
            [*PLAYBOOK, "-vvv", "play.json"],
            cwd=tmp_path,
            env={**environment(tmp_path), "ANSIBLE_ASYNC_DIR": str(tmp_path / "async"), **nobody},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads((tmp_path / "done.json").read_text(encoding="utf-8")), ended.stdout

    return run


def test_a_module_starts_where_it_is_installed_unless_it_runs_in_the_background_or_as_another_user(play):
    """Another user may not be able to read the collection; in the background nobody reads the lifeline."""
    task = {"vforge.vsphere.instant_clone": LEAST["instant_clone"]}
    other = {"become": True, "become_method": "ansible.builtin.su", "vars": {"ansible_become_exe": "true"}}
    (here, in_background, _other), output = play(task, {**task, "async": 60, "poll": 1}, {**task, **other})
    files = re.findall(r"Using module file .*/vsphere/plugins/modules/(\w+)\.py", output)
    assert [file for file in files if file != "async_status"] == ["installed_module", "instant_clone", "instant_clone"]
    assert here["error_code"] == "unreachable"
    assert in_background["msg"] == here["msg"]


def test_what_ansible_sends_elsewhere_is_whole():
    """Ansible finds what a module imports by reading it, so nothing of ours may be imported by a name in a text."""
    named = [file for file in _UTILS.rglob("*.py") if "ansible_collections." in file.read_text(encoding="utf-8")]
    assert named == []


def test_a_task_that_has_nothing_to_do_loads_little(shared_sim, tmp_path):
    """A count, since a time says as much of the machine: this is what a start costs, beside pyVmomi and Ansible."""
    module = ModuleProcess(shared_sim, "instant_clone", str(_PATH), tmp_path)
    task = {"parent": {"name": "server-00001"}, "name": "little", "force": True, "wait_for_wake": False}
    try:
        assert module.run(**task)["changed"]
        module.program = _COUNT + module.program
        process = module.start(**task)
        out, err = process.communicate()
    finally:
        shared_sim.govc("vm.destroy", "little")
    assert json.loads(out)["changed"] is False
    loaded = json.loads(err)
    assert loaded["late"] == []
    assert loaded["modules"] <= 47
    assert loaded["dataclasses"] <= 76
