# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose an attached disk is, by what the configuration of the proxy says."""

from __future__ import annotations

import datetime
import json

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._temporary_disks import Mark
from ansible_collections.vforge.vsphere.plugins.module_utils._temporary_snapshots import Owner

_UNTIL = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC)
_MARK = Mark("[a] web-1/web-1.vmdk", "vm-1", "run", Owner("place", 4, "5"), _UNTIL, "uuid")


def test_a_mark_comes_back_from_its_text():
    assert Mark.read(_MARK.text()) == _MARK


@pytest.mark.parametrize("key", ["pid", "until", "vm"])
@pytest.mark.parametrize("value", ["1e999", "NaN", "[" * 5000, "[" * 200 + "]" * 200])
def test_a_mark_that_somebody_else_has_written_is_none(key, value):
    known = json.loads(_MARK.text())
    text = json.dumps({**known, key: "HERE"}).replace('"HERE"', value)
    assert Mark.read(text) is None
