# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks about processors against simulators."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cpu.running import Processors


@pytest.fixture
def start(make_sim, tmp_path, monkeypatch):
    """A function that starts a simulator with the given flags and returns Processors against it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return lambda *flags: Processors(make_sim(*flags))
