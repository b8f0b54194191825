# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a fleet, from its options to its result. It reads and changes nothing."""

from __future__ import annotations

import typing as t

from .._connector import versions
from . import read, report
from .model import VMFORK, FleetOptions
from .plan import plan

if t.TYPE_CHECKING:
    from .._connector.session import Session


def run(session: Session, options: FleetOptions) -> dict[str, t.Any]:
    """Find out what a fleet needs.

    :returns: the module's result.
    :raises NotSupported: on a release that has no clones of this kind.
    :raises VforgeError: when the fleet cannot be as it is asked for.
    """
    (versions.require_vmfork if options.kind == VMFORK else versions.require_instant_clones)(session)
    now = read.situation(session, options)
    made = plan(options, now)
    for warning in report.warnings(options, now, made):
        session.warn(warning)
    return report.result(options, now, made)
