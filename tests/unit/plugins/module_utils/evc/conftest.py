# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""EVC tasks against simulators."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.evc.running import Evc


@pytest.fixture
def start(make_sim, tmp_path, monkeypatch):
    """A function that starts a simulator of one cluster whose hosts have these processors."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def started(*processors: str, flags: tuple[str, ...] = ()) -> Evc:
        places = ("--clusters", "1", "--hosts", str(len(processors)), "--vms", "0", "--parents", "0")
        return Evc(make_sim(*places, "--processors", ",".join(processors), "--guest-time", "10ms", *flags), cache=True)

    return started
