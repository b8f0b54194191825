# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks against simulators of a test's own."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.linked.running import LinkedTasks


@pytest.fixture
def start(make_sim, tmp_path, monkeypatch):
    """A function that starts a simulator with the given flags and returns LinkedTasks against it, with a source."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def begin(*flags, **how):
        tasks = LinkedTasks(make_sim(*flags), **how)
        tasks.prepare()
        return tasks

    return begin
