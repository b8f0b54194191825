# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What options mean and what is decided, by tables and by examples: no vCenter is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    Ambiguous,
    InvalidOption,
    NotFound,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._fcd import apply, plan
from ansible_collections.vforge.vsphere.plugins.module_utils._fcd.model import (
    DiskOptions,
    DiskRequest,
    Existing,
    SnapshotOptions,
    size_mb,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.fcd import (
    Attachment,
    DiskSnapshot,
    FirstClassDisk,
    Store,
)
from ansible_collections.vforge.vsphere.plugins.modules import (
    first_class_disk,
    first_class_disk_snapshot,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted

STORE = Store("datastore-1", "ds")


def request(**asked) -> DiskRequest:
    """One request, as the module makes it of an item."""
    given_ = {"datastore": "ds", "disks": [{"name": "d", **asked}]}
    params = accepted(first_class_disk.argument_spec(), given_)
    return DiskOptions.from_params(params).disks[0]


def disk(**more) -> FirstClassDisk:
    """A thin disk of 8 MiB."""
    known = {"id": "id-1", "name": "d", "store": STORE, "capacity_mb": 8, "provisioning": "thin"}
    return FirstClassDisk(**{**known, **more})


def held(**more) -> FirstClassDisk:
    """The same, which a VM has."""
    return disk(attachments=(Attachment("vm-7", 2001),), **more)


TARGET = plan.Target("vm-7", "name web-1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1MiB", 1),
        ("10 GiB", 10240),
        ("10G", 10240),
        ("10 gb", 10240),
        ("1.5 GiB", 1536),
        ("2T", 2 * 1024 * 1024),
        ("0.5 GiB", 512),
    ],
)
def test_sizes(text, expected):
    assert size_mb(text, "disk 'd'") == expected


@pytest.mark.parametrize("text", ["", "10", "1500K", "1.5 MiB", "0 GiB", "-1 GiB", "1 PiB", "1e3M"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(InvalidOption) as refused:
        size_mb(text, "disk 'd'")
    assert refused.value.details["option"] == "size"


@given(st.integers(1, 10**11), st.sampled_from("MGT"))
def test_a_whole_number_of_a_unit_is_that_many(count, unit):
    assert size_mb(f"{count}{unit}iB", "") == count * {"M": 1, "G": 1024, "T": 1 << 20}[unit]


@pytest.mark.parametrize(
    ("asked", "found", "steps"),
    [
        ({"size": "8 MiB"}, None, ["create"]),
        ({"size": "8 MiB", "inflated": True}, None, ["create", "inflate"]),
        ({"size": "8 MiB", "keep_after_delete_vm": True}, None, ["create"]),
        ({"size": "8 MiB", "change_tracking": True}, None, ["create", "set_flags"]),
        ({"size": "8 MiB", "metadata": {"k": "v"}}, None, ["create"]),
        ({"register": "[ds] a/b.vmdk", "metadata": {"k": "v"}}, None, ["register", "metadata"]),
        (
            {"register": "[ds] a/b.vmdk", "keep_after_delete_vm": True},
            None,
            ["register", "set_flags"],
        ),
        ({"size": "8 MiB"}, disk(), []),
        ({}, disk(), []),
        ({"size": "9 MiB"}, disk(), ["grow"]),
        ({"new_name": "e"}, disk(), ["rename"]),
        ({"new_name": "e"}, disk(name="e"), []),
        ({"inflated": True}, disk(), ["inflate"]),
        ({"inflated": True}, disk(provisioning="eagerZeroedThick"), []),
        ({"keep_after_delete_vm": False}, disk(), []),
        (
            {"keep_after_delete_vm": False},
            disk(flags={"keep_after_delete_vm": True}),
            ["clear_flags"],
        ),
        ({"metadata": {"a": None}}, disk(metadata={"b": "1"}), []),
        ({"metadata": {"b": None}}, disk(metadata={"b": "1"}), ["metadata"]),
        ({"detached": True}, disk(), []),
        ({"detached": True, "size": "9 MiB"}, held(), ["detach", "grow"]),
        ({"attached_to": {"moid": "vm-7"}}, held(), []),
        ({"attached_to": {"moid": "vm-7"}}, disk(), ["attach"]),
        ({"state": "absent"}, None, []),
        ({"state": "absent"}, disk(), ["delete"]),
        ({"state": "absent", "detached": True}, held(), ["detach", "delete"]),
    ],
)
def test_what_is_done(asked, found, steps):
    target = TARGET if "attached_to" in asked else None
    assert list(plan.decide(request(**asked), found, target).steps) == steps


@pytest.mark.parametrize(
    ("asked", "found", "option"),
    [
        ({}, None, "size"),
        ({"size": "7 MiB"}, disk(), "size"),
        ({"size": "9 MiB"}, held(), "detached"),
        ({"inflated": True}, held(), "detached"),
        ({"state": "absent"}, held(), "detached"),
        ({"attached_to": {"moid": "vm-8"}}, held(), "detached"),
        ({"register": "[ds] a.vmdk", "size": "9 MiB"}, None, "size"),
        ({"size": "8 MiB", "relocate_to": "other"}, None, "relocate_to"),
    ],
)
def test_what_is_refused(asked, found, option):
    target = plan.Target("vm-8", "moid vm-8") if "attached_to" in asked else None
    with pytest.raises(InvalidOption) as refused:
        plan.decide(request(**asked), found, target)
    assert refused.value.details["option"] == option


@given(st.integers(1, 100), st.integers(1, 100))
def test_a_disk_is_never_made_smaller(actual, wanted):
    asked = request(size=f"{wanted} MiB")
    found = disk(capacity_mb=actual)
    if wanted < actual:
        with pytest.raises(InvalidOption, match=f"{actual} MiB.*{wanted} MiB"):
            plan.decide(asked, found, None)
    else:
        assert plan.decide(asked, found, None).steps == (("grow",) if wanted > actual else ())


@given(
    st.dictionaries(
        st.sampled_from(["keep_after_delete_vm", "relocation_disabled", "change_tracking"]),
        st.booleans(),
    ),
    st.dictionaries(
        st.sampled_from(["keep_after_delete_vm", "relocation_disabled", "change_tracking"]),
        st.booleans(),
    ),
)
def test_flags_that_are_not_named_are_neither_set_nor_cleared(wanted, actual):
    made = plan.decide(request(**wanted), disk(flags=actual), None)
    assert set(made.set_flags) | set(made.clear_flags) <= set(wanted)
    after = {
        **actual,
        **dict.fromkeys(made.set_flags, True),
        **dict.fromkeys(made.clear_flags, False),
    }
    assert all(after.get(name, False) == value for name, value in wanted.items())
    assert plan.decide(request(**wanted), disk(flags=after), None).steps == ()


@pytest.mark.parametrize(
    ("asked", "option"),
    [
        ({"register": "a.vmdk"}, "register"),
        ({"register": "[ds] a-flat.vmdk"}, "register"),
        ({"register": "[ds] ../a.vmdk"}, "register"),
        ({"metadata": {"k": ["a"]}}, "metadata"),
        ({"metadata": {"k": ""}}, "metadata"),
        ({"metadata": {"k": True}}, "metadata"),
        ({"new_name": "x" * 81}, "new_name"),
        ({"state": "absent", "attached_to": {"name": "a"}}, "attached_to"),
        ({"detached": True, "attached_to": {"name": "a"}}, "detached"),
        ({"tags": [{"category": "c", "name": "t"}] * 2}, "tags"),
    ],
)
def test_options_that_cannot_be_right(asked, option):
    with pytest.raises(InvalidOption) as refused:
        request(**asked)
    assert refused.value.details["option"] == option


def test_a_registered_vmdk_is_found_by_its_file_whatever_it_is_called():
    asked = request(register="[ds] a/b.vmdk")
    others = [disk(), disk(id="id-2", name="x", path="[ds] a/top.vmdk", parents=("[ds] a/b.vmdk",))]
    assert [each.id for each in plan.candidates(asked, others)] == ["id-2"]


def snapshot_request(**asked):
    """One request, as the module makes it of an item."""
    given_ = {"datastore": "ds", "snapshots": [{"disk": {"name": "d"}, **asked}]}
    params = accepted(first_class_disk_snapshot.argument_spec(), given_)
    return SnapshotOptions.from_params(params).snapshots[0]


SNAPSHOTS = (DiskSnapshot("s-1", "one"), DiskSnapshot("s-2", "two"), DiskSnapshot("s-3", "two"))


@pytest.mark.parametrize(
    ("asked", "made", "steps"),
    [
        ({"description": "new"}, (), ["create_snapshot"]),
        ({"description": "one"}, (), []),
        ({"description": "one", "new_disk": "copy"}, (), ["new_disk"]),
        ({"description": "one", "new_disk": "copy"}, ("copy",), []),
        ({"id": "s-2", "state": "absent"}, (), ["remove_snapshot"]),
        ({"id": "s-9", "state": "absent"}, (), []),
        ({"description": "one", "state": "reverted"}, (), ["revert"]),
    ],
)
def test_what_is_done_with_snapshots(asked, made, steps):
    decided = plan.decide_snapshot(snapshot_request(**asked), disk(snapshots=SNAPSHOTS), made)
    assert list(decided.steps) == steps
    if steps == ["revert"]:
        assert [each.id for each in decided.lost] == ["s-2", "s-3"]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"description": "two"}, Ambiguous),
        ({"id": "s-9"}, NotFound),
        ({"description": "none", "state": "reverted"}, NotFound),
    ],
)
def test_snapshots_that_cannot_be_meant(asked, error):
    with pytest.raises(error):
        plan.decide_snapshot(snapshot_request(**asked), disk(snapshots=SNAPSHOTS), ())


def test_snapshots_that_another_disk_rests_on_are_referred_to():
    first = disk(snapshots=(DiskSnapshot("s-1", path="[ds] a.vmdk"), DiskSnapshot("s-2", path="[ds] b.vmdk")))
    second = disk(id="id-2", parents=("[ds] a.vmdk",))
    assert [each.id for each in plan.unreferenced(first, plan.references([first, second]))] == ["s-2"]


def test_why_a_disk_may_be_one_that_nobody_uses():
    assert plan.dangling(held(path="[ds] a.vmdk"), {"[ds] a.vmdk"}) == ()
    assert plan.dangling(held(path="[ds] a.vmdk"), set()) == ("vmdk_gone",)
    assert plan.dangling(disk(path="[ds] a.vmdk"), None) == ("not_attached",)
    assert plan.cns_of({"cns.k8s.pvc.name": "x", "owner": "y"}) == {"cns.k8s.pvc.name": "x"}


@pytest.mark.parametrize(
    ("endpoint", "server"),
    [
        ("vc.example.com:443", "vc.example.com"),
        ("vc.example.com:8443", "vc.example.com:8443"),
        ("[2001:db8::1]:443", "[2001:db8::1]"),
        ("[2001:db8::1]:4443", "[2001:db8::1]:4443"),
    ],
)
def test_a_file_to_register_is_named_by_the_url_of_its_server(endpoint, server):
    store = Store("datastore-1", "ds 1", datacenter="/Europe/DC0")
    address = apply.address_of(endpoint, store, Existing("ds 1", "web/a b.vmdk"))
    assert address == f"https://{server}/folder/web/a%20b.vmdk?dcPath=Europe%2FDC0&dsName=ds%201"
