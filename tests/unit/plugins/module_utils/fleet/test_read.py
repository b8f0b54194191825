# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is of a fleet, as the simulator has it."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import props
from ansible_collections.vforge.vsphere.plugins.module_utils._fleet import read
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.markers import fleet_mark, marker
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


@pytest.mark.parametrize("cluster", ["a/b", "a%2Fb", "/DC0/host/a%2Fb"])
def test_a_cluster_is_named_in_any_spelling(make_sim, cluster):
    sim = make_sim("--vms", "0")
    sim.govc("object.rename", "/DC0/host/DC0_C0", "a%2fb")
    with session(sim) as known:
        now = read.situation(known, options(golden={"name": "golden-parent"}, clusters=[cluster]))
    assert {now.clusters[host.compute] for host in now.hosts} == {"a/b"}


@pytest.mark.usefixtures("_folder")
def test_a_clone_that_may_be_of_another_pattern_of_names_is_nobodys(make_sim):
    """A fleet web-### has web-100 as its own, and so has one web-##, which would remove it."""
    sim = make_sim("--vms", "4")
    marks = {"vforge.fleet": fleet_mark("web", "1", "web-parent")}
    for name in ("web-01", "web-001", "web-100"):
        sim.create_vm(name, folder="/DC0/vm", extra_config={**marks, "vforge.clone": marker("uuid-of-its-parent", name)})
    asked = options(name="web-##", state="absent", golden=None, clusters=None, folder="/DC0/vm")
    with session(sim) as known:
        now = read.situation(known, asked)
    assert [clone.name for clone in now.clones] == ["web-01"]
    assert now.taken == {"web-100": "a VM that may be of another pattern of names, as web-001 is, holds the name"}
    assert now.unknown == ("web-100",)
    sim.govc("vm.destroy", "/DC0/vm/web-001")
    with session(sim) as known:
        assert [clone.name for clone in read.situation(known, asked).clones] == ["web-01", "web-100"]


def test_clones_and_names_that_are_taken_are_in_their_order_whatever_vcenters_is(make_sim):
    sim = make_sim("--vms", "4")
    mark = {"vforge.fleet": fleet_mark("web", "1", "web-parent")}
    for name in ("web-10", "web-02", "web-09"):
        sim.create_vm(name, folder="/DC0/vm", extra_config={**mark, "vforge.clone": marker("uuid-of-its-parent", name)})
    for name in ("web-12", "web-11"):
        sim.create_vm(name, folder="/DC0/vm", connection="inaccessible")
    asked = options(name="web-##", state="absent", golden=None, clusters=None, folder="/DC0/vm")
    with session(sim) as known:
        now = read.situation(known, asked)
    assert [clone.name for clone in now.clones] == ["web-02", "web-09", "web-10"]
    assert list(now.taken) == list(now.unknown) == ["web-11", "web-12"]
