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


def find_policy(session: Session, name: str, profile: str = "") -> Policy:
    """The policy of a name: four calls.

    :param profile: ID of the one that is wanted; the name is for another vCenter, or one that was made again.
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
    by_name = next((each for each in profiles if each.name == name), None)
    found = next((each for each in profiles if each.profileId.uniqueId == profile), by_name)
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


@dataclasses.dataclass(frozen=True)
class Named:
    """A storage policy by its ID and its name."""

    profile: str
    name: str


def policies_of_all(session: Session, disks: t.Mapping[str, t.Iterable[int]]) -> dict[str, dict[int, Named]]:
    """The storage policies of disks of any number of VMs: three calls.

    :param disks: keys of disks by the moids of their VMs.
    :returns: by moid and key; a disk that has only the default policy of its datastore may be missing.
    :raises VforgeError: the service does not say, or this user may not ask it (StorageProfile.View).
    """
    refs = [
        pbm.ServerObjectRef(objectType="virtualDiskId", key=f"{moid}:{key}") for moid, keys in disks.items() for key in keys
    ]
    content = _asking(session, lambda stub: pbm.ServiceInstance("ServiceInstance", stub).PbmRetrieveServiceContent())
    manager = content.profileManager._GetMoId()
    results = _asking(session, lambda stub: pbm.profile.ProfileManager(manager, stub).PbmQueryAssociatedProfiles(refs))
    given = {result.object.key: result.profileId[0] for result in results or () if result.profileId}
    ids = list({profile.uniqueId: profile for profile in given.values()}.values())
    profiles = _asking(session, lambda stub: pbm.profile.ProfileManager(manager, stub).PbmRetrieveContent(ids)) if ids else []
    names_of = {profile.profileId.uniqueId: profile.name for profile in profiles}
    found: dict[str, dict[int, Named]] = {moid: {} for moid in disks}
    for key, profile in given.items():
        moid, _colon, disk = key.rpartition(":")
        found[moid][int(disk)] = Named(profile.uniqueId, names_of.get(profile.uniqueId, ""))
    return found


def _asking(session: Session, ask: t.Callable[[Stub], t.Any]) -> t.Any:
    """One question in the session as it is at this moment: after an expired one that is another."""
    return session.retrying(lambda: ask(_stub(session.stub)))


def _stub(other: Stub) -> Stub:
    """The way to the service for policies, over the connections of a session."""
    stub = other.beside(_PATH, VmomiSupport.versionMap[_VERSION])
    stub.requestContext = {"vcSessionCookie": other.session_id or ""}
    return stub
