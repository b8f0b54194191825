# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup of a task: what is asked, beside what there is."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._connector.find import find_folder
from .._errors import InvalidOption
from .._vsphere.places import read_folders, read_names
from . import lookup
from .facts import Existing, Parent
from .request import CloneRequest

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session


@dataclasses.dataclass(frozen=True)
class Item:
    """A request, the parent of its clone, and what holds its name now, if anything.

    :ivar folders: the folder option as written -> (moid, path), in the parent's datacenter.
    """

    request: CloneRequest
    parent: Parent | None
    existing: Existing | None
    folders: dict[str, tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Survey:
    """What was found.

    :ivar parents: of the task, each once; that of the option ``parent`` first, where it is set.
    :ivar items: in the order of the requests.
    """

    parents: tuple[Parent, ...]
    items: tuple[Item, ...]


def look_up(
    session: Session, requests: t.Sequence[CloneRequest], parent: Parent | None, own: t.Mapping[Selector, Parent] | None = None
) -> Survey:
    """The folders that are asked for, and what holds the names there, in at most three calls for any number of requests.

    Where parents are in several datacenters, the folders of each are one call.

    :param parent: of the requests that name none of their own.
    :param own: the parents that requests name themselves.
    :raises NotFound: a folder.
    :raises InvalidOption: when two spellings of a folder hide that a name is asked for twice.
    """
    known = own or {}
    asked = [_Asked(request, known[request.parent] if request.parent else parent) for request in requests]
    folders = _folders(session, asked)
    wanted: dict[str, set[str]] = {}
    for item in asked:
        home, name = item.home(folders), item.request.name
        if name in wanted.setdefault(home, set()):
            where = f"the folder {item.request.folder}" if item.request.folder else "the parent's folder"
            raise InvalidOption(
                f"clones names {name} twice in {where}.", hint="The same folder is written in two ways.", option="clones"
            )
        wanted[home].add(name)
    taken = read_names(session, wanted)
    holders = [taken.get((item.home(folders), item.request.name)) for item in asked]
    owned = [(ref, item.parent) for ref, item in zip(holders, asked, strict=True) if ref is not None]
    found = lookup.read_existing(session, owned)
    existing = [found.get(ref._GetMoId()) if ref is not None else None for ref in holders]
    items = (
        Item(item.request, item.parent, holder, folders.get(item.datacenter, {}))
        for item, holder in zip(asked, existing, strict=True)
    )
    parents = {each.moid: each for each in (parent, *known.values()) if each is not None}
    return Survey(tuple(parents.values()), tuple(items))


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A request and its parent."""

    request: CloneRequest
    parent: Parent | None

    @property
    def datacenter(self) -> str:
        """The moid of the datacenter in which the clone's folder is; empty where no parent tells it."""
        return self.parent.datacenter if self.parent else ""

    def home(self, folders: t.Mapping[str, t.Mapping[str, tuple[str, str]]]) -> str:
        """The moid of the clone's folder."""
        if self.request.folder:
            return folders[self.datacenter][self.request.folder][0]
        return self.parent.folder if self.parent else ""


def _folders(session: Session, asked: t.Sequence[_Asked]) -> dict[str, dict[str, tuple[str, str]]]:
    """The folders that the requests name, by the datacenter and as written."""
    texts: dict[str, dict[str, None]] = {}
    for item in asked:
        if item.request.folder:
            texts.setdefault(item.datacenter, {})[item.request.folder] = None
    whole = {text: (find_folder(session, text)._GetMoId(), names.join(names.split(text))) for text in texts.pop("", ())}
    return {"": whole, **{datacenter: read_folders(session, datacenter, known) for datacenter, known in texts.items()}}
