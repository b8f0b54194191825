# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every test of this folder has qemu-img, qemu-nbd and libnbd."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _programs(libnbd):
    """From Debian's packages."""
