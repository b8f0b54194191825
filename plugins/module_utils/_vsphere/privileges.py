# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may do.

Asked before anything is begun that would stop half-way for want of a privilege.
"""

from __future__ import annotations

import typing as t

from .._errors import Fault, NotSupported, VforgeError

if t.TYPE_CHECKING:
    from .._connector.session import Session

# Which everybody has who can see an object: without it, the answer is that of a session that has
# ended.
_READ = "System.Read"


class NotPermitted(VforgeError):
    """This user lacks privileges that the task needs; details name them by object."""

    error_code = "no_permission"


def missing_privileges(
    session: Session,
    key: str,
    wanted: t.Sequence[tuple[t.Any, t.Sequence[str]]],
) -> dict[str, list[str]]:
    """What the user of this session lacks, by one call of ``HasPrivilegeOnEntities``.

    :param key: of the session (``UserSession.key``). One that has ended may do nothing, so nothing
        is said of it.
    :param wanted: references of objects, each with the privileges that are needed on it.
    :returns: the privileges that are missing, by moid; an object on which none is missing is left
        out.
    """
    refs = [ref for ref, _names in wanted]
    ids = sorted({_READ, *(name for _ref, names in wanted for name in names)})
    try:
        manager = session.manager("authorizationManager")
        found = session.retrying(lambda: manager.HasPrivilegeOnEntities(refs, key, ids))
    except (Fault, NotSupported) as error:
        # It is only asked to stop early: a call that may not be made says so itself.
        session.warn(f"vCenter does not say which privileges this user has: {error}")
        return {}
    granted = {}
    for entry in found or ():
        granted[entry.entity._GetMoId()] = {item.privId for item in entry.privAvailability if item.isGranted}
    missing = {}
    for ref, names in wanted:
        moid = ref._GetMoId()
        have = granted.get(moid, set())
        lacked = [name for name in names if name not in have] if _READ in have else []
        if lacked:
            missing[moid] = lacked
    return missing
