# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots: the walker of the tree, and what names one."""

from __future__ import annotations

import pytest
from pyVmomi import vim

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Ambiguous, InvalidOption, NotFound
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.snapshots import (
    SnapshotSelector,
    choose,
    snapshots_in,
)


def _node(number, name, *below):
    return vim.vm.SnapshotTree(
        snapshot=vim.vm.Snapshot(f"snapshot-{number}"),
        name=name,
        description=f"number {number}",
        childSnapshotList=list(below),
    )


def _tree(*roots, current=None):
    info = vim.vm.SnapshotInfo(rootSnapshotList=list(roots))
    if current is not None:
        info.currentSnapshot = vim.vm.Snapshot(f"snapshot-{current}")
    return info


# Two trees, of which one has branches, and names that vSphere keeps escaped.
TREE = _tree(
    _node(1, "base", _node(2, "updates", _node(3, "50%25")), _node(4, "updates")),
    _node(5, "a%2fb"),
    current=3,
)


def test_every_branch_is_walked_in_the_order_of_the_tree():
    found = snapshots_in(TREE)
    assert [(item.moid[-1], item.path) for item in found] == [
        ("1", "base"),
        ("2", "base/updates"),
        ("3", "base/updates/50%25"),
        ("4", "base/updates"),
        ("5", "a%2fb"),
    ]
    assert [item.moid for item in found if item.current] == ["snapshot-3"]
    assert found[0].description == "number 1"


def test_names_are_as_a_person_reads_them():
    assert [item.name for item in snapshots_in(TREE)] == ["base", "updates", "50%", "updates", "a/b"]


def test_a_vm_without_snapshots_has_none():
    assert snapshots_in(None) == ()


def test_a_chain_of_any_length_is_walked():
    node = _node(2000, "s2000")
    for number in range(1999, 0, -1):
        node = _node(number, f"s{number}", node)
    found = snapshots_in(_tree(node))
    assert len(found) == 2000
    assert found[-1].path.endswith("/s1999/s2000")


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ({"name": "base"}, 1),
        ({"name": "50%"}, 3),
        ({"name": "50%25"}, 3),
        ({"name": "a/b"}, 5),
        ({"path": "base/updates/50%25"}, 3),
        ({"path": "/base/updates/50%25/"}, 3),
        ({"path": "a%2fb"}, 5),
        ({"moid": "snapshot-4"}, 4),
        ({"current": True}, 3),
    ],
)
def test_a_snapshot_is_named_in_one_of_four_ways(given, number):
    selector = SnapshotSelector.from_params(given)
    assert choose(snapshots_in(TREE), selector, "/DC0/vm/web").moid == f"snapshot-{number}"


@pytest.mark.parametrize("given", [{"name": "updates"}, {"path": "base/updates"}])
def test_two_of_one_name_or_path_are_both_listed(given):
    with pytest.raises(Ambiguous) as error:
        choose(snapshots_in(TREE), SnapshotSelector.from_params(given), "/DC0/vm/web")
    assert error.value.details["matches"] == ["base/updates (snapshot-2)", "base/updates (snapshot-4)"]


def test_what_is_not_there_is_answered_with_what_is():
    with pytest.raises(NotFound) as error:
        choose(snapshots_in(TREE), SnapshotSelector(name="nightly"), "/DC0/vm/web")
    assert str(error.value).startswith("/DC0/vm/web has no snapshot with the name nightly.")
    assert "a%2fb (snapshot-5)" in error.value.hint


def test_no_snapshot_is_current_where_vcenter_names_none():
    with pytest.raises(NotFound, match="has no current snapshot"):
        choose(snapshots_in(_tree(_node(1, "base"))), SnapshotSelector(current=True), "web")


@pytest.mark.parametrize("given", [{}, {"name": ""}, {"name": "a", "path": "a"}, {"current": False}])
def test_what_names_no_snapshot_is_refused(given):
    with pytest.raises(InvalidOption) as error:
        SnapshotSelector.from_params(given)
    assert error.value.details["option"] == "snapshot"


def test_no_selector_is_no_selector():
    assert SnapshotSelector.from_params(None) is None
