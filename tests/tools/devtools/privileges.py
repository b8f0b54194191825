# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guide on privileges, made of the table that the module vcenter_role uses."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from devtools import layout

PAGE = layout.ROOT / "docs" / "docsite" / "rst" / "guide_privileges.rst"
_TABLE = layout.ROOT / "plugins" / "module_utils" / "_role" / "needs.py"

_HEAD = """.. _ansible_collections.vforge.vsphere.docsite.guide_privileges:

Privileges
==========

What the user of each flow needs in vCenter, by the names of the API. This page is made of the table from which
:ansplugin:`vforge.vsphere.vcenter_role#module` makes roles.

Make the role
-------------

As an administrator, with the flows that you want:

.. code-block:: console

   $ ansible-playbook vforge.vsphere.vcenter_role --check --diff \\
       -e '{"vcenter_role_flows": ["instant_clone_fleet", "cbt_backup"]}'

Without ``--check`` it makes the role ``vforge-automation``. A second run with other flows gives the role what these need, and
takes the rest away. ``vcenter_role_least`` leaves out what only some options need; ``vcenter_role_name`` is another name, and
``vcenter_role_state: absent`` removes the role.

The playbook gives the role to nobody. Give it to a user of its own, with propagation, on

- the VM folder of the VMs, and that of the templates and parents,
- each resource pool, datastore and network that the VMs use,
- the cluster, for flows that set its EVC mode,
- the VM that the module runs in, for ``transport: hotadd``.

Besides, the user needs the role Read-only on the vCenter itself, with propagation. Without that the datacenter and the folders
between are not visible, and nothing is found by its path. A user has one role on an object. So for flows whose table has
``StorageProfile.View`` on the vCenter make a role of that alone, and give it there in place of Read-only: every role can read.
With govc:

.. code-block:: console

   $ govc role.create vforge-policies StorageProfile.View
   $ govc permissions.set -principal automation@vsphere.local -role vforge-policies -propagate=true /
   $ govc permissions.set -principal automation@vsphere.local -role vforge-automation -propagate=true /Berlin/vm/web

Permissions in the inventory do not reach tags. To attach them, the user needs a role of
``InventoryService.Tagging.AttachTag`` by a global permission (in the vSphere Client under Administration), with propagation.

What is missing is an error ``no_permission`` that names the privilege and the object. Many modules ask vCenter for all of them
before they change anything, in check mode too.

How it was proved
-----------------

Each module runs in a test as a user who has what its table says, on the kind of object that it says, and is Read-only
everywhere else, on a simulator that refuses what the API reference says that vCenter refuses. What is needed on VMs is given
on their folder, which the tests cannot tell from a grant on each. ``vm_backup`` and ``vm_restore`` run so in a test of their
own, by one transport, with the privileges everywhere; ``transport: hotadd`` and privileges of tags are in no such test, but the
tables agree with the notes.

By flow
-------
"""


def load(path: Path = _TABLE) -> ModuleType:
    """The table. It is Python without imports of the collection, so it can be loaded alone."""
    spec = importlib.util.spec_from_file_location("vforge_needs", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def page(table: ModuleType) -> str:
    """The guide."""
    lines = []
    for flow, modules in sorted(table.FLOWS.items()):
        called = ", ".join(f"``{name}``" for name in modules)
        lines += ["", flow, "~" * len(flow), "", f"The role calls {called}.", "", *_rows(table.needs_of(flow))]
    lines += ["", "By module", "---------"]
    for name, needs in sorted(table.MODULES.items()):
        lines += ["", f"{name} (module)", "~" * (len(name) + 9), "", *_rows(needs)]
    return _HEAD + "\n".join(lines) + "\n"


def _rows(needs: tuple[Any, ...]) -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 15 45 40", "")
    yield from ("   * - On", "     - Always", "     - Only with")
    for kind in dict.fromkeys(need.on for need in needs):
        here = [need for need in needs if need.on == kind]
        always = {need.name for need in here if not need.when}
        some: dict[str, list[str]] = {}
        for need in here:
            if need.when and need.name not in always:
                some.setdefault(need.when, []).append(need.name)
        yield f"   * - {kind}"
        yield from _cell([f"``{name}``" for name in sorted(always)])
        yield from _cell([f"{when}: {', '.join(f'``{name}``' for name in names)}" for when, names in some.items()])


def _cell(lines: list[str]) -> Iterator[str]:
    """A cell with a line for each."""
    yield from (f"     {'-' if number == 0 else ' '} | {line}" for number, line in enumerate(lines or ["nothing"]))


def write() -> None:
    """Write the guide."""
    PAGE.write_text(page(load()), encoding="utf-8")
