# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which disks and which snapshot are meant."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.selection import (
    DiskSelector,
    SnapshotSelector,
    change_id_from,
    choose,
    select,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Ambiguous, InvalidOption, NotFound
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.support import TRACKING, disk, snapshot

_DISKS = [disk(2000), disk(2001), disk(2016, unit="nvme0:0")]
_TREE = [
    snapshot("base", current=False),
    snapshot("base/patched"),
    snapshot("base/old"),
    snapshot("base/old/patched", current=True),
]


def keys(*selectors):
    return [
        found.key
        for found, _selector in select(_DISKS, [DiskSelector.from_params(item) for item in selectors], "/DC0/vm/web-1")
    ]


@pytest.mark.parametrize(
    ("selector", "key"),
    [
        ({"label": "Hard disk 1"}, 2000),
        ({"label": "hard DISK 2 "}, 2001),
        ({"key": 2016}, 2016),
        ({"unit": "scsi0:1"}, 2001),
        ({"unit": "NVMe0:0"}, 2016),
        ({"backing": "[ds] web-1/disk1-000001.vmdk"}, 2000),
        ({"backing": "[ds] web-1/disk1.vmdk"}, 2000),
    ],
)
def test_a_disk_by_any_of_its_names(selector, key):
    assert keys(selector) == [key]


def test_disks_keep_their_own_order_and_all_are_meant_when_none_is_named():
    assert keys({"key": 2001}, {"key": 2000}) == [2000, 2001]
    assert [found.key for found, _selector in select(_DISKS, None, "web-1")] == [2000, 2001, 2016]
    assert keys() == []


@pytest.mark.parametrize(
    ("selectors", "error", "words"),
    [
        ([{"label": "Hard disk 9"}], NotFound, "Hard disk 1"),
        ([{"unit": "scsi0:9"}], NotFound, "scsi0:1"),
        ([{"key": 2000}, {"unit": "scsi0:0"}], InvalidOption, "the same disk"),
        ([{}], InvalidOption, "by nothing"),
        ([{"key": 2000, "label": "Hard disk 1"}], InvalidOption, "label and key"),
        ([{"key": 2000, "change_id": "yesterday"}], InvalidOption, "no changeId"),
    ],
)
def test_a_selector_that_does_not_name_one_disk_is_refused(selectors, error, words):
    with pytest.raises(error) as caught:
        keys(*selectors)
    assert words in str(caught.value)


def test_two_disks_of_one_label_are_told_apart():
    with pytest.raises(Ambiguous) as caught:
        select([disk(2000), disk(2001, label="Hard disk 1")], [DiskSelector(label="Hard disk 1")], "web-1")
    assert len(caught.value.details["matches"]) == 2


@pytest.mark.parametrize(
    ("given", "moid"),
    [
        ({"name": "old"}, "snapshot-base/old"),
        ({"path": "base/patched"}, "snapshot-base/patched"),
        ({"path": "/base/old/patched/"}, "snapshot-base/old/patched"),
        ({"moid": "snapshot-base"}, "snapshot-base"),
        ({"current": True}, "snapshot-base/old/patched"),
    ],
)
def test_a_snapshot_by_any_of_its_names_in_every_branch(given, moid):
    selector = SnapshotSelector.from_params({"name": None, "path": None, "moid": None, "current": False, **given})
    assert selector is not None
    assert choose(_TREE, selector, "web-1").moid == moid


def test_two_snapshots_of_one_name_are_told_apart():
    with pytest.raises(Ambiguous) as caught:
        choose(_TREE, SnapshotSelector(name="patched"), "web-1")
    assert "base/old/patched" in caught.value.message
    with pytest.raises(Ambiguous):
        choose([snapshot("a", "s-1"), snapshot("a", "s-2")], SnapshotSelector(path="a"), "web-1")


def test_a_snapshot_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(NotFound, match="base/patched"):
        choose(_TREE, SnapshotSelector(name="pached"), "web-1")
    with pytest.raises(NotFound, match="There are: none"):
        choose([], SnapshotSelector(current=True), "web-1")


@pytest.mark.parametrize("given", [{}, {"name": "a", "path": "b"}, {"name": "a", "current": True}])
def test_a_snapshot_has_to_be_named_in_one_way(given):
    with pytest.raises(InvalidOption):
        SnapshotSelector.from_params({"name": None, "path": None, "moid": None, "current": False, **given})


def test_change_ids_of_options():
    assert change_id_from(None) is None
    assert change_id_from(" * ") == "*"
    assert change_id_from(f"{TRACKING}/3 ") == f"{TRACKING}/3"
    with pytest.raises(InvalidOption):
        change_id_from("3")
