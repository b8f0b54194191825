# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which disks are meant."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.model import DiskSelector, change_id_from, select
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Ambiguous, InvalidOption, NotFound
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.support import TRACKING, disk

_DISKS = [disk(2000), disk(2001), disk(2016, unit="nvme0:0")]


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


def test_change_ids_of_options():
    assert change_id_from(None) is None
    assert change_id_from(" * ") == "*"
    assert change_id_from(f"{TRACKING}/3 ") == f"{TRACKING}/3"
    with pytest.raises(InvalidOption):
        change_id_from("3")
