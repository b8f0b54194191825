# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On a Python that is too old a module says so, which the old Python has to understand."""

from __future__ import annotations

import ast
import json
import os
import pathlib
import subprocess

import pytest

from ansible_collections.vforge.vsphere.plugins import module_utils
from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.least import LEAST

_UTILS = pathlib.Path(next(iter(module_utils.__path__)))
_ROOT = str(_UTILS.parents[4])
_MODULES = _UTILS.parent / "modules"

_OLDEST_UNDERSTOOD = (3, 6)

# Ansible runs a module in this way, from a zip file.
_START = """
import runpy, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
runpy.run_module("ansible_collections.vforge.vsphere.plugins.modules." + sys.argv[2], run_name="__main__")
"""


def _old_pythons():
    """The Pythons of this machine that are too old, in the folders of PATH and of pyenv."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv") / "versions"
    for minor in range(_OLDEST_UNDERSTOOD[1], _any_python.OLDEST[1]):
        folders = [*map(pathlib.Path, os.environ.get("PATH", "").split(os.pathsep)), *pyenv.glob(f"3.{minor}.*/bin")]
        for folder in folders:
            python = folder / f"python3.{minor}"
            # A shim of pyenv is there for versions that are not switched on, too.
            if python.exists() and "shims" not in python.parts:
                yield str(python)
                break


@pytest.mark.parametrize("name", sorted(LEAST))
def test_a_module_is_understood_by_old_pythons_down_to_the_check(name):
    source = (_MODULES / f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=_OLDEST_UNDERSTOOD)
    # A future import of annotations is no syntax, and a syntax error nevertheless.
    assert next(node.module for node in tree.body if isinstance(node, ast.ImportFrom)).endswith(".module_utils")
    first, second, *_others = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr))][1:]
    assert (ast.unparse(first).rpartition(" ")[2], ast.unparse(second)) == ("_any_python", "_any_python.require()")


def test_the_check_is_understood_by_old_pythons():
    source = (_UTILS / "_any_python.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=_OLDEST_UNDERSTOOD)
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert imported == ["json", "platform", "shutil", "sys"]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


@pytest.mark.parametrize("name", sorted(LEAST))
def test_each_old_python_of_this_machine_is_named_with_the_way_to_a_newer_one(name):
    for python in _old_pythons():
        command = [python, "-I", "-c", _START, _ROOT, name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert (done.returncode, done.stderr) == (1, "")
        said = json.loads(done.stdout)
        assert (said["failed"], said["error_code"]) == (True, "missing_library")
        assert "Python 3.11 or later is needed, and the module runs with " in said["msg"]
        assert " -m pip install 'pyvmomi>=" in said["msg"]
        assert "ansible_python_interpreter" in said["msg"]
        assert "\n" not in said["msg"]


def test_a_python_that_is_new_enough_goes_on():
    assert _any_python.require() is None


def test_the_newer_python_that_is_there_is_named(monkeypatch):
    monkeypatch.setattr(_any_python.shutil, "which", lambda name: f"/opt/{name}" if name == "python3.12" else None)
    assert "(/opt/python3.12), and install for it: /opt/python3.12 -m pip install" in _any_python.result()["msg"]
    monkeypatch.setattr(_any_python.shutil, "which", lambda _name: None)
    assert "(/path/to/python3.11)" in _any_python.result()["msg"]
