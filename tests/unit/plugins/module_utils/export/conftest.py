# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exports against a simulator."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.export.running import Exports


@pytest.fixture(autouse=True)
def own_sessions(tmp_path, monkeypatch):
    """No test goes on with the session of another one."""
    (tmp_path / "runtime").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))


@pytest.fixture
def start(make_sim, tmp_path):
    """A function that starts a simulator with the given flags and returns Exports against it."""
    return lambda *flags: Exports(make_sim("--vms", "0", *flags), tmp_path / "exports")


@pytest.fixture
def exports(shared_sim, tmp_path):
    """Exports against the simulator of many tests."""
    return Exports(shared_sim, tmp_path / "exports")
