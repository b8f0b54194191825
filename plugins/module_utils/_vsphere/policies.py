# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage policies (SPBM): which there are, and which datastores they allow.

They have a service of their own beside the one for VMs, at ``/pbm``. It takes the session of the
other one, named in the SOAP header ``vcSessionCookie`` (vSphere API, "Storage Policy Based
Management", PbmServiceInstance).
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._connector.pyvmomi import VmomiSupport, pbm
from .._connector.soap import Stub
from .._errors import NotFound

if t.TYPE_CHECKING:
    from .._connector.session import Session

_PATH = "/pbm/sdk"

# All that is asked here is in it, and every vCenter since 6.0 understands it.
_VERSION = "pbm/2.0"


@dataclasses.dataclass(frozen=True)
class Policy:
    """A storage policy: its ID, and the moids of the datastores that it allows."""

    profile: str
    datastores: frozenset[str]


def find_policy(session: Session, name: str) -> Policy:
    """The policy of a name: four calls.

    :raises NotFound: with the policies that there are.
    """
    content = _asking(
        session,
        lambda stub: pbm.ServiceInstance("ServiceInstance", stub).PbmRetrieveServiceContent(),
    )
    kind = pbm.profile.ResourceType(resourceType="STORAGE")
    manager, solver = content.profileManager._GetMoId(), content.placementSolver._GetMoId()
    ids = _asking(
        session,
        lambda stub: pbm.profile.ProfileManager(manager, stub).PbmQueryProfile(kind, "REQUIREMENT"),
    )
    profiles = _asking(session, lambda stub: pbm.profile.ProfileManager(manager, stub).PbmRetrieveContent(ids)) if ids else []
    # Names are not escaped here, and case counts.
    found = next((profile for profile in profiles if profile.name == name), None)
    if found is None:
        known = sorted(profile.name for profile in profiles)
        there = names.listing(names.nearest_first(name, known)) or "none"
        raise NotFound(f"No storage policy {name} was found.", hint=f"There are: {there}.", known=known)
    check = _asking(
        session,
        lambda stub: pbm.placement.PlacementSolver(solver, stub).PbmCheckCompatibility(None, found.profileId),
    )
    fits = (result.hub for result in check if not result.error)
    return Policy(found.profileId.uniqueId, frozenset(hub.hubId for hub in fits if hub.hubType == "Datastore"))


def policies_of(session: Session, moid: str, keys: t.Iterable[int]) -> dict[int, tuple[str, ...]]:
    """The IDs of the storage policies that disks of a VM have, by the keys of these: two calls.

    A disk is named by the VM and its key (vSphere API, PbmObjectType ``virtualDiskId``). One that
    has only the default policy of its datastore may be without any.

    :raises VforgeError: the service does not say, or this user may
        not ask it (StorageProfile.View).
    """
    content = _asking(session, lambda stub: pbm.ServiceInstance("ServiceInstance", stub).PbmRetrieveServiceContent())
    manager = content.profileManager._GetMoId()
    disks = [pbm.ServerObjectRef(objectType="virtualDiskId", key=f"{moid}:{key}") for key in keys]
    results = _asking(session, lambda stub: pbm.profile.ProfileManager(manager, stub).PbmQueryAssociatedProfiles(disks))
    return {
        int(result.object.key.rpartition(":")[2]): tuple(profile.uniqueId for profile in result.profileId or ())
        for result in results or ()
    }


def _asking(session: Session, ask: t.Callable[[Stub], t.Any]) -> t.Any:
    """One question in the session as it is at this moment: after an expired one that is another."""
    return session.retrying(lambda: ask(_stub(session.stub)))


def _stub(other: Stub) -> Stub:
    """The way to the service for policies, over the connections of a session."""
    stub = other.beside(_PATH, VmomiSupport.versionMap[_VERSION])
    stub.requestContext = {"vcSessionCookie": other.session_id or ""}
    return stub
