# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``state: absent``: remove the template, and its other versions where that is asked for; never what a VM depends on."""

from __future__ import annotations

import typing as t

from .._connector import names
from .._errors import PartialFailure
from . import lookup, plan, report, versions
from .errors import TemplateError
from .options import OvfOptions

if t.TYPE_CHECKING:
    from .._connector.session import Session


def run(session: Session, options: OvfOptions, deadline: float, *, check: bool) -> dict[str, t.Any]:
    """Remove it.

    :raises TemplateError: ``name_taken``, ``busy``, ``in_use``.
    :raises PartialFailure: something could not be removed; it holds the whole result.
    """
    home = lookup.find_home(session, options.place)
    holder = lookup.read_holders(session, home, [options.name]).get(options.name)
    due = []
    if holder is not None:
        plan.refuse_strangers(holder)
        if versions.is_being_made(holder):
            raise TemplateError(
                "busy",
                f"The template {holder.path} is being made by another run, or was left unfinished by one.",
                hint="Let it be finished first: run with state present.",
                owner=holder.owner,
            )
        due.append(holder)
    if options.remove_old:
        due += versions.others(session, home, options.name, [holder.moid] if holder else [])
    gone = versions.remove(session, due, deadline, check=check)
    for kept, users in gone.kept:
        if holder is not None and kept.moid == holder.moid:
            raise TemplateError(
                "in_use",
                f"The template {kept.path} stays, since its disks are used by {names.listing(users, most=5)}.",
                hint="Remove these first, or move them to disks of their own.",
                used_by=users,
            )
        session.warn(f"{kept.path} stays, since its disks are used by {names.listing(users, most=5)}.")
    result = report.absent(options.name, holder, gone)
    if gone.failed or gone.stopped:
        raise PartialFailure(gone.headline(), result, hint="Run again to remove the rest.")
    return result
