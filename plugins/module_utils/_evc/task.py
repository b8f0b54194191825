# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task from its options to its result: with a cluster, or with VMs."""

from __future__ import annotations

import typing as t

from . import clusters, vms

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .model import Options


def run(session: Session, options: Options, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``cluster`` with its ``obstacles``, or ``vms``;
        ``failures``, ``diff`` and ``timing``.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when the cluster or a VM failed; it holds the whole result.
    """
    return clusters.run(session, options, check=check) if options.cluster else vms.run(session, options, check=check)
