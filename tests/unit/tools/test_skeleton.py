# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make module`: what it writes is whole, clean, and in the action group; what is there already is left alone."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import pytest
import yaml

from devtools import skeleton

_ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture
def checkout(tmp_path):
    """As much of a checkout as a new module is written into."""
    for name in ("galaxy.yml", "meta/runtime.yml", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(_ROOT / name, tmp_path / name)
    return tmp_path


def test_a_new_module_is_eight_files_that_ruff_takes_as_they_are(checkout):
    paths = skeleton.write("vm_notes", checkout)
    assert len(paths) == 8
    files = [checkout / path for path in paths]
    assert all(file.read_text(encoding="utf-8").startswith("# Copyright:") for file in files)
    assert not any("$" in file.read_text(encoding="utf-8") for file in files)
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *files], cwd=checkout, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_group_has_the_new_module_among_the_others_and_nothing_else_changes(checkout):
    runtime = checkout / "meta" / "runtime.yml"
    before = yaml.safe_load(runtime.read_text(encoding="utf-8"))
    skeleton.write("vm_notes", checkout)
    after = yaml.safe_load(runtime.read_text(encoding="utf-8"))
    modules = after["action_groups"].pop("all")
    assert modules == sorted([*before["action_groups"].pop("all"), "vm_notes"])
    assert after == before


@pytest.mark.parametrize("name", ["", "VmNotes", "vm-notes", "../escape", "vm__notes", "2vm"])
def test_what_is_no_name_of_a_module_is_refused(checkout, name):
    with pytest.raises(skeleton.CannotWrite, match="is no name of a module"):
        skeleton.write(name, checkout)
    assert not (checkout / "plugins").exists()


def test_what_is_there_is_not_written_over(checkout):
    there = checkout / "plugins" / "module_utils" / "_vm_notes" / "plan.py"
    there.parent.mkdir(parents=True)
    there.write_text("mine", encoding="utf-8")
    with pytest.raises(skeleton.CannotWrite, match=r"plan\.py is there already"):
        skeleton.write("vm_notes", checkout)
    assert there.read_text(encoding="utf-8") == "mine"
    assert not (checkout / "plugins" / "modules").exists()
