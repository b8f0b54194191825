# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the tests of what vSphere has."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_sessions(tmp_path, monkeypatch):
    """No test goes on with the session of another one."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
