# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is of a fleet, as the simulator has it."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import props
from ansible_collections.vforge.vsphere.plugins.module_utils._fleet import read
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import session
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fleet.support import options


@pytest.fixture(params=[False, True], ids=["in a small folder", "in a large folder"])
def _folder(request, monkeypatch):
    """A large folder is one of several pages."""
    real = props.collect_until

    def by_twos(session, roots, wanted, routes=(), _page=2, **more):
        return real(session, roots, wanted, routes, 2, **more)

    if request.param:
        monkeypatch.setattr(props, "collect_until", by_twos)


@pytest.mark.usefixtures("_folder")
def test_of_a_vm_that_vcenter_does_not_reach_it_is_not_said_whose_it_is(make_sim):
    sim = make_sim("--vms", "4")
    sim.create_vm("web-02", folder="/DC0/vm", connection="inaccessible")
    sim.create_vm("web-04", folder="/DC0/vm")
    asked = options(golden={"name": "golden-parent"}, clusters=["DC0_C0"])
    with session(sim) as known:
        now = read.situation(known, asked)
    assert now.taken == {
        "web-02": "a VM that is inaccessible, so that vCenter does not say whose it is, holds the name",
        "web-04": "a VM that is not of this fleet holds the name",
    }
    assert now.unknown == ("web-02",)
