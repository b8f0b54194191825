# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks about first class disks against simulators."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fcd.running import Disks


@pytest.fixture
def start(make_sim, tmp_path, monkeypatch):
    """A function that starts a simulator with the given flags and returns Disks against it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return lambda *flags: Disks(make_sim(*flags))


@pytest.fixture
def disks(start):
    """Tasks against a simulator of the test's own."""
    return start("--vms", "2")
