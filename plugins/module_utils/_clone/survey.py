# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup of a task: what is asked, beside what there is."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._connector.find import find_folder
from .._connector.places import read_folders, read_names
from .._errors import InvalidOption
from . import lookup
from .facts import Existing, Parent
from .request import CloneRequest

if t.TYPE_CHECKING:
    from .._connector.session import Session


@dataclasses.dataclass(frozen=True)
class Item:
    """A request, the parent of its clone, and what holds its name now, if anything."""

    request: CloneRequest
    parent: Parent | None
    existing: Existing | None


@dataclasses.dataclass(frozen=True)
class Survey:
    """What was found.

    :ivar folders: the folder option as written -> (moid, path).
    :ivar items: in the order of the requests.
    """

    parent: Parent | None
    folders: dict[str, tuple[str, str]]
    items: tuple[Item, ...]


def look_up(session: Session, requests: t.Sequence[CloneRequest], parent: Parent | None) -> Survey:
    """The folders that are asked for, and what holds the names there, in at most three calls for any number.

    :raises NotFound: a folder.
    :raises InvalidOption: when two spellings of a folder hide that a name is asked for twice.
    """
    texts = list(dict.fromkeys(request.folder for request in requests if request.folder))
    folders = _folders(session, parent, texts)
    homes = [_home(request, parent, folders) for request in requests]
    wanted: dict[str, set[str]] = {}
    for request, home in zip(requests, homes, strict=True):
        if request.name in wanted.setdefault(home, set()):
            where = f"the folder {request.folder}" if request.folder else "the parent's folder"
            raise InvalidOption(
                f"clones names {request.name} twice in {where}.",
                hint="The same folder is written in two ways.",
                option="clones",
            )
        wanted[home].add(request.name)
    taken = read_names(session, wanted)
    known = lookup.read_existing(session, [(ref, parent) for ref in taken.values()])
    holders = [taken.get((home, request.name)) for request, home in zip(requests, homes, strict=True)]
    existing = [known.get(ref._GetMoId()) if ref is not None else None for ref in holders]
    items = (Item(request, parent, holder) for request, holder in zip(requests, existing, strict=True))
    return Survey(parent, folders, tuple(items))


def _folders(session: Session, parent: Parent | None, texts: list[str]) -> dict[str, tuple[str, str]]:
    if not texts:
        return {}
    if parent is not None:
        return read_folders(session, parent.datacenter, texts)
    return {text: (find_folder(session, text)._GetMoId(), names.join(names.split(text))) for text in texts}


def _home(request: CloneRequest, parent: Parent | None, folders: dict[str, tuple[str, str]]) -> str:
    if request.folder:
        return folders[request.folder][0]
    return parent.folder if parent else ""
