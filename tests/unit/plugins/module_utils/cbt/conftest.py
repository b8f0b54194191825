# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks against simulators of a test's own."""

from __future__ import annotations

import contextlib

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.running import Areas


@pytest.fixture
def start(make_sim, tmp_path, monkeypatch):
    """A function that starts a simulator with the given flags and returns Areas against it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with contextlib.ExitStack() as stack:
        yield lambda *flags: stack.enter_context(contextlib.closing(Areas(make_sim("--vms", "2", *flags))))


@pytest.fixture
def areas(start):
    """Areas against a simulator with the tracked VM web-1."""
    known = start()
    known.make("web-1")
    return known
