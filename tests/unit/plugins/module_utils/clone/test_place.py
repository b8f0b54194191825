# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a clone goes, and which parents cannot have clones."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._clone import plan, read
from ansible_collections.vforge.vsphere.plugins.module_utils._clone.model import no_folder
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import vm as vms
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.compute import Network, Place, Pool, Surroundings
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.support import (
    AROUND,
    BACK,
    FRONT,
    NICS,
    parent,
    request,
)


def _with_pools(pools):
    return parent(around=dataclasses.replace(AROUND, compute=dataclasses.replace(AROUND.compute, pools=pools)))


def _refused(wanted, known=None):
    with pytest.raises(InvalidOption) as caught:
        plan.place(wanted, known or parent(), {})
    return caught.value


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"template": True}, "/DC0/vm/golden is a template. An instant clone needs a running VM"),
        ({"power_state": "poweredOff"}, "/DC0/vm/golden is poweredOff. Power it on"),
        ({"power_state": "suspended"}, "/DC0/vm/golden is suspended"),
        ({"host_available": False}, "on the host esx-1, which is in maintenance mode or not connected"),
        ({"around": Surroundings(), "host_name": "", "host_available": False}, "on a host that this user may not see"),
    ],
)
def test_a_parent_that_cannot_have_clones(changes, says):
    with pytest.raises(InvalidOption) as caught:
        plan.check_parent(parent(**changes))
    assert says in str(caught.value)
    assert caught.value.details["option"] == "parent"


@pytest.mark.parametrize("frozen", [True, False])
def test_a_running_parent_may_be_frozen(frozen):
    plan.check_parent(parent(frozen=frozen))


@pytest.mark.parametrize("label", [None, "Network adapter 2", "network ADAPTER 2"])
def test_the_nic_that_is_waited_for_is_there(label):
    plan.check_ip_nic(parent(), label)


@pytest.mark.parametrize(
    ("nics", "label", "says"),
    [
        (NICS, "Network adapter 3", "has no Network adapter 3, so no address can be waited for. It has: Network adapter 1, "),
        ((), "Network adapter 1", "has no Network adapter 1"),
        ((), None, "has no NIC, so no address can be waited for. It has: no NIC at all."),
    ],
)
def test_the_nic_that_is_waited_for_is_missing(nics, label, says):
    with pytest.raises(InvalidOption) as caught:
        plan.check_ip_nic(parent(nics=nics), label)
    assert says in str(caught.value)


def test_by_default_a_clone_goes_where_its_parent_is():
    placement = plan.place(request(), parent(), {})
    assert (placement.folder, placement.folder_path) == ("group-v1", "/DC0/vm")
    assert placement.pool == Pool("resgroup-2", "web", "Resources/web")
    assert not placement.pool_asked
    assert placement.datastore is None
    assert placement.nics == ()


def test_a_parent_in_a_vapp_has_no_folder_for_clones():
    known = parent(folder="", folder_path="/", place=Place(pool="resgroup-v9"))
    assert "no folder of the parent is known: it is in a vApp, or this user may not see it. Set folder." in str(
        no_folder(request(), known)
    )
    assert no_folder(request(folder="web"), known) is None
    placement = plan.place(request(folder="web"), known, {"web": ("group-v2", "/DC0/vm/web")})
    assert placement.folder == "group-v2"
    assert not placement.pool_asked


@pytest.mark.parametrize("names", [["web-1"], ["web-1", "web-2"]])
def test_of_a_parent_in_a_vapp_nothing_is_looked_for_in_a_folder_that_is_none(start, names):
    known = parent(folder="", folder_path="/")
    asked = [read.Wanted(request(name=name), known) for name in names]
    ran = start().ran(lambda session: {"found": read.read_wanted(session, asked)})
    assert ran.error is None
    assert [str(each.error) for each in ran.result["found"]] == [str(no_folder(each.request, known)) for each in asked]


def test_the_name_of_a_place_that_no_parent_knows_is_read(start):
    """Such as a host that a clone was moved to while it was made."""
    tasks = start()
    made = tasks.run(name="web-1").clones["web-1"]
    owner = parent(around=Surroundings(), nics=())
    ran = tasks.ran(lambda session: read.read_made(session, [(vms.reference(session, made["moid"]), owner)]))
    place = ran.result[made["moid"]].place
    names = (place.host_name, place.pool_name, ", ".join(place.datastore_names))
    assert names == (made["host"], made["resource_pool"], made["datastore"])
    assert ran.called("RetrievePropertiesEx") == 2


def test_the_folder_is_what_the_lookup_found():
    placement = plan.place(request(folder="web"), parent(), {"web": ("group-v2", "/DC0/vm/web")})
    assert (placement.folder, placement.folder_path) == ("group-v2", "/DC0/vm/web")


@pytest.mark.parametrize(
    ("wanted", "moid"),
    [
        ("web", "resgroup-2"),
        ("Resources/web", "resgroup-2"),
        ("/Resources/web/", "resgroup-2"),
        ("web/blue", "resgroup-4"),
        ("db/blue", "resgroup-5"),
        ("Resources", "resgroup-1"),
        ("C0", "resgroup-1"),
        ("C0/Resources", "resgroup-1"),
        ("C0/web", "resgroup-2"),
        ("C0/Resources/db/blue", "resgroup-5"),
        ("/DC0/host/C0/Resources/web", "resgroup-2"),
        ("/DC0/host/folder/C0/Resources", "resgroup-1"),
    ],
)
def test_a_pool_by_name_or_path(wanted, moid):
    placement = plan.place(request(resource_pool=wanted), parent(), {})
    assert placement.pool.moid == moid
    assert placement.pool_asked


def test_a_pool_may_have_the_name_of_its_cluster():
    pools = (Pool("resgroup-1", "Resources", "Resources"), Pool("resgroup-7", "C0", "Resources/C0"))
    assert plan.place(request(resource_pool="C0"), _with_pools(pools), {}).pool.moid == "resgroup-7"


def test_a_pool_name_may_have_a_slash():
    pools = (Pool("resgroup-1", "Resources", "Resources"), Pool("resgroup-8", "a/b", "Resources/a%2fb"))
    assert plan.place(request(resource_pool="a%2fb"), _with_pools(pools), {}).pool.moid == "resgroup-8"


@pytest.mark.parametrize("wanted", ["red", "C1", "C1/Resources", "/DC0/host/C1/Resources/web", "Resources/blue", "/"])
def test_a_pool_of_another_compute_resource_is_refused_with_those_that_would_do(wanted):
    error = _refused(request(resource_pool=wanted))
    assert f"the resource pool {wanted} is not one of C0, to which its host esx-1 belongs" in error.message
    assert error.details["allowed"] == sorted(
        ["Resources", "Resources/web", "Resources/db", "Resources/web/blue", "Resources/db/blue"]
    )
    for path in error.details["allowed"]:
        assert path in error.hint


def test_a_pool_name_that_fits_two_is_refused_with_their_paths():
    error = _refused(request(resource_pool="blue"))
    assert "2 resource pools are named blue" in error.message
    assert error.hint == "Give the path of one: Resources/db/blue, Resources/web/blue."


def test_a_datastore_of_the_host():
    assert plan.place(request(datastore="slow"), parent(), {}).datastore == "datastore-2"


def test_a_datastore_that_the_host_does_not_see():
    error = _refused(request(datastore="vsan"))
    assert error.message == "clone 'web-1': the host esx-1 has no accessible datastore vsan."
    assert error.details["allowed"] == ["fast", "slow"]


@pytest.mark.parametrize("nic", [{"label": "Network adapter 2"}, {"label": "network adapter 2"}, {"index": 1}])
@pytest.mark.parametrize("network", ["front", "network-1"])
def test_a_nic_by_label_or_index_gets_a_network_by_name_or_moid(nic, network):
    wanted = request(nics=[{**nic, "network": network, "mac": "00:50:56:01:02:03", "connected": False}])
    assert plan.place(wanted, parent(), {}).nics == (plan.NicEdit(NICS[1], FRONT, "00:50:56:01:02:03", False),)


@pytest.mark.parametrize(
    ("nics", "says"),
    [
        ([{"index": 2}], "the VM has no NIC 2. It has: Network adapter 1, Network adapter 2."),
        ([{"index": -1}], "the VM has no NIC -1."),
        ([{"label": "eth0"}], "the VM has no eth0."),
        ([{"index": 0, "network": "none"}], "its host sees no network none. It sees: back, front."),
        ([{"index": 0}, {"label": "Network adapter 1"}], "networks names Network adapter 1 more than once"),
        ([{"index": 0}, {"index": 0}], "networks names Network adapter 1 more than once"),
    ],
)
def test_nics_that_are_refused(nics, says):
    error = _refused(request(nics=nics))
    assert says in str(error)
    assert error.details["option"] == "networks"


def test_a_parent_without_nics():
    assert "It has: no NIC at all." in str(_refused(request(nics=[{"index": 0}]), parent(nics=())))


def test_two_networks_of_one_name_are_told_apart_by_moid():
    twin = Network("network-7", "front", "standard", "network-7", path="/DC0/network/other/front")
    known = parent(around=dataclasses.replace(AROUND, networks=(FRONT, BACK, twin)))
    error = _refused(request(nics=[{"index": 0, "network": "front"}]), known)
    assert "2 networks are named front. Give the path or the moid of one: /DC0/network/other/front (network-7), " in str(error)
    for text in ("network-7", "/DC0/network/other/front", "other/front"):
        placed = plan.place(request(nics=[{"index": 0, "network": text}]), known, {})
        assert placed.nics[0].network.moid == "network-7"
