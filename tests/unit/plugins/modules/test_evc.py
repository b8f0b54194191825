# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set, set again, check and fail: the module evc as a process, looked at with govc."""

from __future__ import annotations

import pathlib
import uuid

import pytest

from ansible_collections.vforge.vsphere.plugins import modules
from vforge_module import ModuleProcess

_PATH = str(pathlib.Path(next(iter(modules.__path__))).parents[4])


@pytest.fixture
def run(shared_sim, tmp_path):
    """Runs the module on one VM."""
    process = ModuleProcess(shared_sim, "evc", _PATH, tmp_path, parent={"name": "server-00001"})
    return process.run


def notes(sim):
    """What govc sees."""
    return sim.govc("vm.info", "-e", "server-00001")["virtualMachines"][0]["config"].get("annotation", "")


def test_notes_are_set_once_and_check_mode_changes_nothing(run, shared_sim):
    wanted = f"Owned by {uuid.uuid4().hex[:8]}."
    before = notes(shared_sim)
    assert run(notes=wanted, _ansible_check_mode=True)["changed"]
    assert notes(shared_sim) == before
    assert run(notes=wanted)["vms"][0]["actions"] == ["noted"]
    assert notes(shared_sim) == wanted
    assert not run(notes=wanted)["changed"]


def test_a_vm_that_is_not_there_is_named(run):
    failed = run(parent={"name": "nobody"}, notes="x")
    assert failed["error_code"] == "not_found"
    assert "nobody" in failed["msg"]
