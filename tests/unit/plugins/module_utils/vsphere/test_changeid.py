# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a changeId of the past can be asked with, and when the whole disk has to be read."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.changeid import ALL, ChangeId, Kept, judge
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.support import MIB, TRACKING, disk

_OTHER = "52 00 c0 d9 b9 43 9d 10-61 d5 4c 1b e9 7b 65 63"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{TRACKING}/81", ChangeId(TRACKING, 81)),
        (f"  {TRACKING.upper()}/0\n", ChangeId(TRACKING, 0)),
        ("*", None),
        ("", None),
        (TRACKING, None),
        (f"{TRACKING}/", None),
        (f"{TRACKING}/-1", None),
        (f"{TRACKING}/1/2", None),
        ("/5", None),
    ],
)
def test_parsing(text, expected):
    assert ChangeId.parse(text) == expected


@pytest.mark.parametrize(
    ("kept", "now", "code"),
    [
        (Kept(f"{TRACKING}/4"), {}, None),
        (Kept(f"{TRACKING}/5"), {}, None),
        (Kept(f"{TRACKING.upper()}/4"), {}, None),
        (Kept(f"{TRACKING}/4", disk().identity, 64 * MIB), {}, None),
        (Kept(ALL), {}, None),
        (None, {}, "no_change_id"),
        (Kept(f"{TRACKING}/6"), {}, "change_id_newer"),
        (Kept(f"{_OTHER}/4"), {}, "tracking_restarted"),
        (Kept(f"{TRACKING}/4", disk().identity, 32 * MIB), {}, "capacity_changed"),
        (Kept(f"{TRACKING}/4", "1-2000/another", 64 * MIB), {}, "disk_replaced"),
        (Kept(f"{TRACKING}/4"), {"change_id": None}, "not_tracked"),
    ],
)
def test_judging(kept, now, code):
    full = judge(kept, disk(**now))
    assert (full.code if full else None) == code
    assert full is None or full.reason.endswith(".")
