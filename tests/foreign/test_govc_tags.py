# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""govc's commands for tags, roles, events and tasks."""

from __future__ import annotations

import json

from conftest import Govc, only

_VM = "vm/golden-parent"


def test_categories(govc: Govc) -> None:
    made = govc("tags.category.create", "-d", "first", "-m", "tier")
    govc.refused("tags.category.create", "tier")
    assert only([each for each in json.loads(govc("tags.category.ls", "-json")) if each["name"] == "tier"])["id"] == made
    govc("tags.category.update", "-n", "level", "-d", "second", made)
    assert "second" in govc("tags.category.info", "level")
    govc.refused("tags.category.info", "tier")
    govc("tags.category.rm", made)


def test_tags(govc: Govc) -> None:
    category = govc("tags.category.create", "tier")
    made = govc("tags.create", "-d", "first", "-c", category, "gold")
    govc.refused("tags.create", "-c", category, "gold")
    govc("tags.update", "-n", "silver", "-d", "second", made)
    assert "second" in govc("tags.info", "-c", "tier", "silver")

    govc("tags.attach", "silver", _VM)
    assert "silver" in govc("tags.attached.ls", "-r", _VM)
    assert "VirtualMachine:" in govc("tags.attached.ls", "silver")
    govc.refused("tags.rm", "-c", "tier", "silver")
    govc("tags.detach", "silver", _VM)
    assert govc("tags.attached.ls", "silver") == ""
    govc("tags.rm", "-c", "tier", "silver")
    govc.refused("tags.info", "-c", "tier", "silver")


def test_roles(govc: Govc) -> None:
    govc("role.create", "cloner", "VirtualMachine.Provisioning.Clone")
    govc.refused("role.create", "cloner")
    govc.refused("role.create", "other", "Nothing.Real")
    govc("role.update", "-a", "cloner", "Datastore.AllocateSpace")
    assert "Datastore.AllocateSpace" in govc("role.ls", "cloner").splitlines()
    govc("role.update", "-r", "cloner", "Datastore.AllocateSpace")
    govc("role.remove", "cloner")
    govc.refused("role.ls", "cloner")


def test_events_and_tasks(govc: Govc) -> None:
    govc("vm.power", "-off", _VM.partition("/")[2])
    assert "powered off" in govc("events", _VM)
    assert "PowerOff" in govc("tasks", _VM)
