# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values from vCenters and guests in Ansible's variables: data, and never templates."""

from __future__ import annotations

import typing as t

from ansible.release import __version__ as _core

# From 2.19 on a text is a template only where Ansible has marked it as trusted, and these are not.
_NEVER_TEMPLATES = tuple(int(number) for number in _core.split(".")[:2]) >= (2, 19)

V = t.TypeVar("V")


def untrusted(value: V) -> V:
    """The same value, which no release of Ansible takes for a template, at any depth."""
    if _NEVER_TEMPLATES:
        return value
    from ansible.utils.unsafe_proxy import wrap_var

    return t.cast("V", wrap_var(value))
