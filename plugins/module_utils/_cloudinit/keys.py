# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of extraConfig that this domain reads and writes. Pure."""

from __future__ import annotations

import typing as t

from .._vsphere.markers import CLOUD_DATA_MARK
from . import report_script
from .payload import KINDS

LOCAL_IPV4, LOCAL_IPV6 = "guestinfo.local-ipv4", "guestinfo.local-ipv6"
FINISHED, HOST_KEYS = report_script.KEY, report_script.HOST_KEYS


def value(kind: str) -> str:
    """Where a kind of data is: ``guestinfo.userdata``."""
    return f"guestinfo.{kind}"


def encoding(kind: str) -> str:
    """Where its encoding is."""
    return f"guestinfo.{kind}.encoding"


def reported_addresses(config: t.Mapping[str, str]) -> tuple[str, ...]:
    """The addresses that cloud-init reports, as they came."""
    return tuple(text for key in (LOCAL_IPV4, LOCAL_IPV6) if (text := config.get(key, "").strip()))


def mark(kind: str) -> str:
    """Where the fingerprint of what was delivered is."""
    return f"{CLOUD_DATA_MARK}{kind}"


# What was delivered by customization, which cannot be read back.
CUSTOMIZED = mark("customization")

# What a running VM was given and reads at its next boot: since when it has run, and the kinds of
# data.
PENDING = mark("pending")

DATA = (*(name(kind) for kind in KINDS for name in (value, encoding, mark)), CUSTOMIZED, PENDING)
REPORTS = (LOCAL_IPV4, LOCAL_IPV6, FINISHED, HOST_KEYS)
