# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A simulator with VMs to give data to."""

from __future__ import annotations

import uuid

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cloudinit.running import Cloud


@pytest.fixture
def cloud(shared_sim):
    """Tasks on the simulator that many tests share."""
    return Cloud(shared_sim)


@pytest.fixture
def vm(shared_sim):
    """A function that makes a VM of the test's own and returns its name; it is off unless said otherwise."""

    def make(*, on: bool = False, **more):
        name = f"cloud-{uuid.uuid4().hex[:8]}"
        shared_sim.create_vm(name, on=on, **more)
        return name

    return make
