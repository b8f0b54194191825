# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in an OVA: its members and where they begin. Nothing is unpacked, and no member is read."""

from __future__ import annotations

import posixpath
import tarfile
import typing as t

from .blobs import Blob, Seeker, SliceBlob
from .errors import PackageError

# More than any appliance has, and little enough to remember.
_MOST_MEMBERS = 1000

# One header at a time; an extended one may hold a long name, and nothing that we need is longer.
_LONGEST_HEADER = 2**20

_DO_NOT_TRUST = "Such an OVA is broken or made to do harm: do not trust where it comes from."


def members(blob: Blob) -> dict[str, Blob]:
    """The files in an OVA, in its order.

    :raises PackageError: ``invalid_package`` when it is none, ``unsafe_package`` when it holds what no OVA needs: links,
        devices, absolute names, names that lead out of it, sparse files, one name twice.
    """
    found: dict[str, Blob] = {}
    seeker = Seeker(blob, _LONGEST_HEADER)
    try:
        # The file that tarfile gets is never written to, nor is anything extracted.
        with tarfile.TarFile(fileobj=t.cast("t.IO[bytes]", seeker), mode="r") as archive:
            for count, member in enumerate(archive, 1):
                if count > _MOST_MEMBERS:
                    raise _unsafe(blob, f"has more than {_MOST_MEMBERS} members")
                name = _checked(member, blob)
                if member.isdir():
                    continue
                if name in found:
                    raise _unsafe(blob, f"holds {name!r} twice")
                found[name] = SliceBlob(blob, name, member.offset_data, member.size)
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise PackageError("invalid_package", f"{blob.label} is no readable OVA: {error}.") from error
    finally:
        seeker.close()
    return found


def _checked(member: tarfile.TarInfo, blob: Blob) -> str:
    """The member's name, if all about it is what an OVA may hold."""
    name = posixpath.normpath(member.name) if member.name else ""
    if not name or member.name.startswith("/") or name.startswith("../") or name == ".." or "\\" in name or "\0" in name:
        raise _unsafe(blob, f"has a member whose name leads out of it ({member.name[:200]!r})")
    if ".." in member.name.split("/"):
        raise _unsafe(blob, f"has a member whose name leads out of it ({member.name[:200]!r})")
    if member.issym() or member.islnk():
        raise _unsafe(blob, f"has a link ({name!r} to {member.linkname[:200]!r})")
    if not member.isdir() and (not member.isreg() or member.issparse()):
        raise _unsafe(blob, f"has a member that is no plain file ({name!r})")
    if member.size < 0 or member.offset_data + member.size > blob.size:
        raise PackageError(
            "invalid_package",
            f"{blob.label} ends within {name!r}: its header announces {member.size} bytes.",
            hint="The file was not copied or downloaded to its end: get it again.",
        )
    return name


def _unsafe(blob: Blob, what: str) -> PackageError:
    return PackageError("unsafe_package", f"{blob.label} {what}.", hint=_DO_NOT_TRUST)
