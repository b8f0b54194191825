# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version of the API to speak, and which release can do what.

What the session knows already is enough to say so.
"""

from __future__ import annotations

import typing as t

from .._errors import NotSupported
from . import versions

if t.TYPE_CHECKING:
    from .session import Session

# What a client may speak before it knows the server; vSphere 5.5 and everything since understands
# it.
OLDEST = "vim25/5.5"

# Of one number of a version.
_MOST_DIGITS = 9

# Properties that are read here and that came after API 6.0, with the version that has them first.
_SINCE = {
    "config.bootOptions.efiSecureBootEnabled": "6.5",
    "config.createDate": "6.7",
    "config.keyId": "6.5",
    "config.uplink": "6.5",
    "runtime.inQuarantineMode": "6.5",
    "runtime.instantCloneFrozen": "6.7",
    "capability.perVmEvcSupported": "6.7",
    "capability.supportedEVCGraphicsMode": "7.0.1.0",
    "summary.currentEVCGraphicsModeKey": "7.0.1.0",
}


def offered(document: bytes) -> str | None:
    """The newest version of the API that a server describes (``8.0.3.0``), or None when this is no
    such description.

    :param document: what the server keeps at ``/sdk/vimServiceVersions.xml``, for everybody to
        read.
    """
    # Who goes on with a kept session knows the version.
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError:
        return None
    for namespace in root.iter("namespace"):
        if namespace.findtext("name") == "urn:vim25":
            return namespace.findtext("version")
    return None


def newest_common(api_version: str, known: t.Iterable[str]) -> str:
    """The newest of ``known`` namespaces (``vim25/8.0.3.0``) that is not newer than the server's
    API version.

    A server speaks every version before its own (vSphere Web Services SDK Programming Guide,
    "Versioning").
    """
    server = _numbers(api_version) or ()
    common = {number: name for name in known if (number := _numbers(name.removeprefix("vim25/"))) and number <= server}
    return common[max(common)] if common else OLDEST


def at_least(api_version: str, wanted: str) -> bool:
    """Whether a version of the API is ``wanted`` or newer; one that cannot be read is not."""
    found = _numbers(api_version)
    return found is not None and found >= (_numbers(wanted) or ())


def readable(api_version: str, paths: t.Iterable[str]) -> list[str]:
    """Those of the property paths that a server of this version has.

    For one that it does not know it refuses a whole read.
    """
    if _numbers(api_version) is None:
        return list(paths)
    return [path for path in paths if at_least(api_version, _SINCE.get(path, OLDEST.removeprefix("vim25/")))]


def _numbers(version: str) -> tuple[int, ...] | None:
    """``6.7`` as (6, 7, 0, 0), so that it equals ``6.7.0.0``.

    None for what is no dotted number (``2.5u2``).
    """
    parts = version.split(".")
    if not all(part.isascii() and part.isdigit() and len(part) <= _MOST_DIGITS for part in parts):
        return None
    return tuple([*map(int, parts), 0, 0, 0, 0][:4])


def require(session: Session, since: str, lacks: str, hint: str) -> None:
    """Make sure that the API of this vCenter is new enough. pyVmomi leaves out of a call what an
    older one does not know, and says nothing.

    :param since: the version that has it first.
    :param lacks: what an older one cannot do ("cannot make instant clones").
    :raises NotSupported: it is older.
    """
    version = session.about.get("apiVersion", "")
    if not versions.at_least(version, since):
        raise NotSupported(
            f"{session.options.endpoint} {lacks}: its API version is {version or 'unknown'}.",
            hint=hint,
            api_version=version,
        )


def require_instant_clones(session: Session) -> None:
    """Make sure that this vCenter knows instant clones, and so freezing, which came with API 6.7.

    :raises NotSupported: on an older one.
    """
    hint = "Instant clones need vCenter 6.7 or later. On 6.0 and 6.5, vforge.vsphere.fork_parent does the same."
    require(session, "6.7", "cannot make instant clones", hint)


def require_secure_boot(session: Session) -> None:
    """Make sure that this vCenter knows secure boot of VMs.

    :raises NotSupported: it does not.
    """
    since = _SINCE["config.bootOptions.efiSecureBootEnabled"]
    require(session, since, "has no secure boot for VMs", "It needs vCenter 6.5 or later. Leave secure_boot off.")


def require_vmfork(session: Session) -> None:
    """Make sure that this vCenter has VMFork, which were the releases 6.0 and 6.5.

    :raises NotSupported: on any other.
    """
    version = session.about.get("apiVersion", "")
    if versions.at_least(version, "6.6"):
        raise NotSupported(
            f"{session.options.endpoint} has no VMFork, which ended with API 6.5 (its own is "
            f"{version}): "
            "vforge.vsphere.instant_clone is the way to do it there.",
            api_version=version,
        )
    if not versions.at_least(version, "6.0"):
        raise NotSupported(
            f"{session.options.endpoint} has no VMFork, which came with API 6.0: its own is {version or 'unknown'}.",
            api_version=version,
        )
