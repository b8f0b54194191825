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

_ALREADY_THERE = "FileAlreadyExists"

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


class Made(t.NamedTuple):
    """What was made of directories, for who has to remove them again.

    :ivar folder: the topmost that is a folder, ``[datastore] folder``; empty where none is.
    :ivar top: the stable path of the topmost one, where that is an object; otherwise empty.
    """

    folder: str = ""
    top: str = ""


def make(session: Session, datacenter: t.Any, path: str, files: DatastoreFiles) -> Made:
    """Make a directory, with those above; one that is there already is fine.

    One call, and none where it is there: vCenter would note an error of each. Three where the
    topmost one has to be made as an object, and one more for what is below it; there the privilege
    ``Datastore.Config`` is needed besides ``Datastore.FileManagement``.

    :param path: ``[datastore] folder/below``.
    :returns: what was not there before.
    :raises Fault: it cannot be made.
    """
    if _is_there(files, path):
        return Made()
    first = _first_missing(files, path)
    try:
        return Made(first if _make(session, datacenter, path) else "")
    except Fault as fault:
        # Asked first all the same: some releases make the object then by themselves (Kubernetes'
        # provider for vSphere counted on it).
        made = _make_object(session, datacenter, path) if fault.fault == "CannotCreateFile" else None
        if made is None:
            raise
        return made


def _is_there(files: DatastoreFiles, path: str) -> bool:
    """Whether a directory is seen, by the beginning of its listing. Whoever may not look at it does
    not see it.
    """
    try:
        files.read(DatastorePath.parse(path, "path"), 1)
    except (NoSuchFile, FileDenied, FileLocked):
        return False
    return True


def _first_missing(files: DatastoreFiles, path: str) -> str:
    """The topmost of the directories of a path that is certainly not there."""
    found = DatastorePath.parse(path, "path")
    while found.folder:
        above = DatastorePath.parse(found.folder, "path")
        try:
            files.read(above, 1)
        except NoSuchFile:
            found = above
        except (FileDenied, FileLocked):
            break
        else:
            break
    return str(found)


def _make(session: Session, datacenter: t.Any, path: str) -> bool:
    """Make a directory, with those above; False where it was there."""
    manager = session.manager("fileManager")
    try:
        session.retrying(lambda: manager.MakeDirectory(path, datacenter, True))
    except Fault as fault:
        if fault.fault != _ALREADY_THERE:
            raise
        return False
    return True


def _make_object(session: Session, datacenter: t.Any, path: str) -> Made | None:
    """Make the topmost directory as an object, and those below it; None where it is none."""
    wanted = DatastorePath.parse(path, "path")
    rows = collect(session, [datacenter], {vim.Datastore: ("name", _MAKES_DIRECTORIES)}, _TO_DATASTORES)
    stores = [row.ref for row in rows if name_of(row) == wanted.datastore and row.get(_MAKES_DIRECTORIES) is False]
    if not stores:
        return None
    top, _slash, below = wanted.path.partition("/")
    manager = session.manager("datastoreNamespaceManager")
    stable = ""
    try:
        stable = str(session.retrying(lambda: manager.CreateDirectory(stores[0], top, "")) or "")
    except Fault as fault:
        if fault.fault != _ALREADY_THERE:  # it was before, or another run has made it meanwhile
            raise
    if not below or not _make(session, datacenter, path):
        return Made(top=stable)
    # Where the object was there, which of those below it were is not known.
    return Made(f"[{wanted.datastore}] {top}/{below.partition('/')[0]}" if stable else "", stable)


# Removing what was made


def start_search(session: Session, datacenter: t.Any, folder: str) -> t.Any:
    """``SearchDatastoreSubFolders_Task`` for all that is in a directory, after one call for its browser."""
    store = DatastorePath.parse(folder, "path").datastore
    rows = collect(session, [datacenter], {vim.Datastore: ("name", "browser")}, _TO_DATASTORES)
    browser = next((row.get("browser") for row in rows if name_of(row) == store), None)
    if browser is None:
        raise NotFound(f"There is no datastore {store}, or this user may not see it.")
    return browser.SearchDatastoreSubFolders_Task(folder, vim.host.DatastoreBrowser.SearchSpec())


def are_alone(found: t.Iterable[t.Any] | None, below: str) -> bool:
    """Whether a search has found nothing but certain directories.

    vCenter may call the directory that was searched otherwise than it was asked for, so what is in it is compared alone.

    :param found: the result of ``start_search``; None where the server does not say it.
    :param below: path of these directories below the one that was searched, ``a/b``; empty for none.
    """
    results = [(each.folderPath.rstrip("/"), [file.path for file in each.file or ()]) for each in found or ()]
    if not results:
        return False
    root = min((folder for folder, _files in results), key=len)
    paths = [f"{folder}/{file}"[len(root) + 1 :] for folder, files in results for file in files]
    return all(f"{below}/".startswith(f"{path.rstrip('/')}/") for path in paths)


def remove_object(session: Session, datacenter: t.Any, top: str) -> None:
    """Remove a topmost directory that is an object, and empty: one call.

    :param top: its stable path.
    :raises Fault: it cannot be removed, or is not empty.
    """
    manager = session.manager("datastoreNamespaceManager")
    session.retrying(lambda: manager.DeleteDirectory(datacenter, top))
