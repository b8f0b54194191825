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

    :param profile: ID of the one that is wanted; the name is for another vCenter, or for one that
        was made again.
    :raises NotFound: with the policies that there are.
    """
    service = _Service(session)
    policies = service.content_of(service.ids())
    # Names are not escaped here, and case counts.
    by_name = next((each for each in policies if each.name == name), None)
    found = next((each for each in policies if each.profileId.uniqueId == profile), by_name)
    if found is None:
        known = sorted(policy.name for policy in policies)
        there = names.listing(names.nearest_first(name, known)) or "none"
        raise NotFound(f"No storage policy {name} was found.", hint=f"There are: {there}.", known=known)
    fits = (result.hub for result in service.check(found.profileId) if not result.error)
    datastores = frozenset(hub.hubId for hub in fits if hub.hubType == "Datastore")
    return Policy(found.profileId.uniqueId, datastores)


def policies_of(session: Session, moid: str, keys: t.Iterable[int]) -> dict[int, tuple[str, ...]]:
    """The IDs of the storage policies that disks of a VM have, by the keys of these: two calls.

    One that has only the default policy of its datastore may be without any.

    :raises VforgeError: the service does not say, or this user may
        not ask it (StorageProfile.View).
    """
    given = _Service(session).given_to({moid: keys})
    return {key: tuple(each.uniqueId for each in ids) for (_moid, key), ids in given.items()}


@dataclasses.dataclass(frozen=True)
class Named:
    """A storage policy by its ID and its name."""

    profile: str
    name: str


def policies_of_all(session: Session, disks: t.Mapping[str, t.Iterable[int]]) -> dict[str, dict[int, Named]]:
    """The storage policies of disks of any number of VMs: three calls.

    :param disks: keys of disks by the moids of their VMs.
    :returns: by moid and key; a disk that has only the default policy of its datastore may be
        missing.
    :raises VforgeError: the service does not say, or this user may
        not ask it (StorageProfile.View).
    """
    service = _Service(session)
    first = {disk: ids[0] for disk, ids in service.given_to(disks).items() if ids}
    ids = list({each.uniqueId: each for each in first.values()}.values())
    names_of = {policy.profileId.uniqueId: policy.name for policy in service.content_of(ids)}
    found: dict[str, dict[int, Named]] = {moid: {} for moid in disks}
    for (moid, key), each in first.items():
        found[moid][key] = Named(each.uniqueId, names_of.get(each.uniqueId, ""))
    return found


class _Service:
    """The service for policies: its managers are asked in the session of a vCenter."""

    def __init__(self, session: Session) -> None:
        """One call.

        :raises VforgeError: there is none, or it does not answer.
        """
        self._session = session
        content = self._ask(_content)
        self._profiles = content.profileManager._GetMoId()
        self._solver = content.placementSolver._GetMoId()

    def _ask(self, ask: t.Callable[[Stub], t.Any]) -> t.Any:
        """One question in the session as it is at this moment: after an expired one that is
        another.
        """
        return self._session.retrying(lambda: ask(_stub(self._session.stub)))

    def _ask_profiles(self, ask: t.Callable[[t.Any], t.Any]) -> t.Any:
        return self._ask(lambda stub: ask(pbm.profile.ProfileManager(self._profiles, stub)))

    def ids(self) -> list[t.Any]:
        """The IDs (PbmProfileId) of all policies for storage that somebody may choose."""
        kind = pbm.profile.ResourceType(resourceType="STORAGE")
        found = self._ask_profiles(lambda manager: manager.PbmQueryProfile(kind, "REQUIREMENT"))
        return list(found or ())

    def content_of(self, ids: t.Sequence[t.Any]) -> list[t.Any]:
        """The policies of some IDs; without any, vCenter is not asked."""
        if not ids:
            return []
        return list(self._ask_profiles(lambda manager: manager.PbmRetrieveContent(ids)) or ())

    def given_to(self, disks: t.Mapping[str, t.Iterable[int]]) -> dict[tuple[str, int], list[t.Any]]:
        """The IDs of the policies of disks, by moid and key.

        A disk is named by the VM and its key (vSphere API, PbmObjectType ``virtualDiskId``).
        """
        keys_of = [f"{moid}:{key}" for moid, keys in disks.items() for key in keys]
        refs = [pbm.ServerObjectRef(objectType="virtualDiskId", key=key) for key in keys_of]
        found = self._ask_profiles(lambda manager: manager.PbmQueryAssociatedProfiles(refs))
        given: dict[tuple[str, int], list[t.Any]] = {}
        for result in found or ():
            moid, _colon, key = result.object.key.rpartition(":")
            given[moid, int(key)] = list(result.profileId or ())
        return given

    def check(self, profile: t.Any) -> list[t.Any]:
        """What is said of each datastore (PbmPlacementCompatibilityResult): may a disk of this
        policy be there?
        """

        def checked(stub: Stub) -> t.Any:
            return pbm.placement.PlacementSolver(self._solver, stub).PbmCheckCompatibility(None, profile)

        return list(self._ask(checked) or ())


def _content(stub: Stub) -> t.Any:
    """What the service has: its managers."""
    return pbm.ServiceInstance("ServiceInstance", stub).PbmRetrieveServiceContent()


def _stub(other: Stub) -> Stub:
    """The way to the service for policies, over the connections of a session."""
    stub = other.beside(_PATH, VmomiSupport.versionMap[_VERSION])
    stub.requestContext = {"vcSessionCookie": other.session_key}
    return stub
