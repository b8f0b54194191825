# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories of datastores.

On vSAN and vVols a topmost directory is an object of the storage, which
``DatastoreNamespaceManager`` makes (API reference, ``topLevelDirectoryCreateSupported``). It is
then found by its name, as any other (govmomi, issue 654). Its real name is an ID, and that is what
vCenter lists: backings and ``layoutEx`` of a VM have a disk by it, also where the disk was attached
by the other name (Kubernetes' provider for vSphere, ``getcanonicalVolumePath``). On vSAN it is a
UUID; on vVols ``rfc4122.`` and a UUID, or ``naa.`` and hexadecimal digits, as the array has it
(backings in public reports of arrays by HPE: Nimble, Primera, 3PAR).
"""

from __future__ import annotations

import contextlib
import re
import typing as t

from .._connector.props import Route, collect
from .._connector.pyvmomi import vim
from .._errors import Fault, NotFound
from .datastore_files import DatastoreFiles, DatastorePath, FileDenied, FileLocked, NoSuchFile
from .vm import name_of

if t.TYPE_CHECKING:
    from .._connector.session import Session

_MAKES_DIRECTORIES = "capability.topLevelDirectoryCreateSupported"
_TO_DATASTORES = (Route("datacenter-stores", vim.Datacenter, "datastore"),)

# On these a topmost directory is an object, and no file is outside of one.
OF_OBJECTS = ("vsan", "VVOL")

_ID = re.compile(r"(rfc4122\.)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|naa\.[0-9a-f]{16,32}", re.IGNORECASE)


def is_real_name(directory: str) -> bool:
    """Whether vCenter lists a topmost directory of vSAN or vVols by this name."""
    return _ID.fullmatch(directory) is not None


def names_of(session: Session, datacenter: t.Any, kind: str, url: str, path: DatastorePath) -> frozenset[str]:
    """All names by which vCenter may list a file: its path, and on vSAN and vVols that by the real
    name of its topmost directory. No call, and one there.

    :param kind: of the datastore (``VMFS``, ``vsan``).
    :param url: ``summary.url`` of the datastore.
    :raises Fault, NotFound: that name cannot be had, so that nobody knows whose the file is.
    """
    top, _slash, below = path.path.partition("/")
    if kind not in OF_OBJECTS or not below or is_real_name(top):
        return frozenset({str(path)})
    manager = session.manager("datastoreNamespaceManager")
    asked = f"{url.rstrip('/')}/{top}"
    found = session.retrying(lambda: manager.ConvertNamespacePathToUuidPath(datacenter, asked))
    name = found.rstrip("/").rpartition("/")[2]
    if not name:
        raise NotFound(f"vCenter does not say which directory {top} of {path.datastore} is.", hint="Run again.")
    return frozenset({str(path), f"[{path.datastore}] {name}/{below}"})


def make(session: Session, datacenter: t.Any, path: str, files: DatastoreFiles) -> bool:
    """Make a directory, with those above; one that is there already is fine.

    One call, and none where it is there: vCenter would note an error of each. Three where the
    topmost one has to be made as an object, and one more for what is below it; there the privilege
    ``Datastore.Config`` is needed besides ``Datastore.FileManagement``.

    :param path: ``[datastore] folder/below``.
    :returns: whether it was not there before.
    :raises Fault: it cannot be made.
    """
    if _is_there(files, path):
        return False
    try:
        _make(session, datacenter, path)
    except Fault as fault:
        # Asked first all the same: some releases make the object then by themselves (Kubernetes'
        # provider for vSphere counted on it).
        if fault.fault != "CannotCreateFile" or not _make_object(session, datacenter, path):
            raise
    return True


def _is_there(files: DatastoreFiles, path: str) -> bool:
    """Whether a directory is seen, by the beginning of its listing. Whoever may not look at it does
    not see it.
    """
    try:
        files.read(DatastorePath.parse(path, "path"), 1)
    except (NoSuchFile, FileDenied, FileLocked):
        return False
    return True


def _make(session: Session, datacenter: t.Any, path: str) -> None:
    manager = session.manager("fileManager")
    with _already_there():
        session.retrying(lambda: manager.MakeDirectory(path, datacenter, True))


def _make_object(session: Session, datacenter: t.Any, path: str) -> bool:
    """Make the topmost directory as an object, and those below it; False where it is none."""
    wanted = DatastorePath.parse(path, "path")
    rows = collect(session, [datacenter], {vim.Datastore: ("name", _MAKES_DIRECTORIES)}, _TO_DATASTORES)
    stores = [row.ref for row in rows if name_of(row) == wanted.datastore and row.get(_MAKES_DIRECTORIES) is False]
    if not stores:
        return False
    top, _slash, below = wanted.path.partition("/")
    manager = session.manager("datastoreNamespaceManager")
    with _already_there():
        session.retrying(lambda: manager.CreateDirectory(stores[0], top, ""))
    if below:
        _make(session, datacenter, path)
    return True


@contextlib.contextmanager
def _already_there() -> t.Iterator[None]:
    """Let pass that a directory is there: it was before, or another run has made it meanwhile."""
    try:
        yield
    except Fault as fault:
        if fault.fault != "FileAlreadyExists":
            raise
