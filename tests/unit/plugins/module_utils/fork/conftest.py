# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VMFork tasks against simulators of a test's own."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fork.running import Forks


@pytest.fixture
def start(make_sim, tmp_path, monkeypatch):
    """A function that starts a simulator of vSphere 6.5 with the given flags and returns Forks against it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return lambda *flags: Forks(make_sim("--vms", "2", "--api-version", "6.5", *flags))
