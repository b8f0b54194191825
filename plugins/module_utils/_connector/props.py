# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read many properties of many objects in one call, paged."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._errors import ConnectionLost, Fault
from . import faults, versions
from .pyvmomi import vim, vmodl

if t.TYPE_CHECKING:
    from .plain import PlainRow
    from .session import Session

# Objects in a page; vCenter may choose fewer. That many keep answers well below the limits of its
# front end whatever is read of them, and so do so many of which only a name or a mark is read.
PAGE = 500
PAGE_OF_LITTLE = 2_500

# How often a read is begun whose later pages get lost.
_MOST_READS = 3

# Hexadecimal, in either case (API reference, VirtualMachineConfigInfo): marks, records and folders are named by them.
_UUIDS = frozenset(("config.uuid", "config.instanceUuid"))

_Spec = vmodl.query.PropertyCollector

T = t.TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Route:
    """One step of a traversal: from objects of ``kind`` along the property ``path``, then along the
    routes ``then``.

    Routes refer to each other by name, so that loops (folders in folders) are finite descriptions.
    Of the names in ``then`` those count that are among the routes of a traversal, so that routes
    can be put together as they are needed.
    """

    name: str
    kind: type
    path: str
    then: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Row:
    """What was read of one object: ``values`` by property path.

    What could not be read is not in it.
    """

    ref: t.Any
    values: dict[str, t.Any]

    @property
    def moid(self) -> str:
        """The object's moid, such as ``vm-42``."""
        return t.cast(str, self.ref._GetMoId())

    def get(self, path: str, default: t.Any = None) -> t.Any:
        """The property, or ``default`` when it is unset or was not readable."""
        return self.values.get(path, default)


def collect(
    session: Session,
    roots: t.Sequence[t.Any],
    wanted: t.Mapping[type, t.Sequence[str]],
    routes: t.Sequence[Route] = (),
    page: int = PAGE,
) -> list[Row]:
    """Start at ``roots``, follow ``routes``, and read the ``wanted`` properties by type, roots
    included.

    Costs one call, and one more for each page beyond the first, whatever the number of objects. An
    object that is gone is left out. Where several types of ``wanted`` fit an object, it gets the
    union of their properties (API reference, PropertySpec). A property that is newer than the
    vCenter is not asked for, and so reads as one that is unset.

    :param page: objects in one answer at most; vCenter may choose fewer.
    :raises Fault: as vCenter does.
    """
    return collect_until(session, roots, wanted, routes, page).rows


@dataclasses.dataclass(frozen=True)
class Part:
    """What was read of an answer.

    :ivar whole: whether that is all of it.
    """

    rows: list[Row]
    whole: bool


def collect_until(
    session: Session,
    roots: t.Sequence[t.Any],
    wanted: t.Mapping[type, t.Sequence[str]],
    routes: t.Sequence[Route] = (),
    page: int = PAGE,
    enough: t.Callable[[int], bool] = lambda _read: False,
) -> Part:
    """As ``collect``, for who may go another way once it is known that there is much to read.

    The pages that are left then go with the collector of this task.

    :param enough: is called after each page but the last with the number of objects read; True ends
        the reading.
    :raises Fault: as vCenter does.
    """
    if not roots:
        return Part([], whole=True)
    version = session.about.get("apiVersion", "")
    spec = _filter_spec(roots, {kind: versions.readable(version, paths) for kind, paths in wanted.items()}, routes)
    rows: list[Row] = []
    return Part(rows, session.retrying(lambda: _pages(session, spec, page, _typed, rows, enough)))


def collect_plainly(
    session: Session,
    roots: t.Sequence[t.Any],
    wanted: t.Mapping[type, t.Sequence[str]],
    routes: t.Sequence[Route],
    shape: t.Callable[[PlainRow], T],
) -> list[T]:
    """As ``collect``, for long lists of pairs of thousands of objects, which come as texts
    (``plain``).

    :param shape: is called with each row as its page comes; what it returns is kept in its place.
    """
    from . import plain

    version = session.about.get("apiVersion", "")
    spec = _filter_spec(roots, {kind: versions.readable(version, paths) for kind, paths in wanted.items()}, routes)
    kept: list[T] = []

    def ask(session: Session, method: str, *args: t.Any) -> tuple[list[T], str]:
        rows, token = plain.retrieve(session.stub, session.collector, method, *args)
        return [shape(row) for row in rows], token

    session.retrying(lambda: _pages(session, spec, PAGE, ask, kept))
    return kept


def collect_chosen(
    session: Session,
    roots: t.Sequence[t.Any],
    wanted: t.Mapping[type, t.Sequence[str]],
    routes: t.Sequence[Route],
    deciding: t.Mapping[type, t.Sequence[str]],
    choose: t.Callable[[Row], bool],
    page: int = PAGE_OF_LITTLE,
) -> list[Row]:
    """As ``collect``, for a place where only some objects are looked for.

    One call in a small place. In a large one all that is read of every object is what decides, and
    a second call reads the rest of those that are chosen; the other rows have no more than that.

    :param deciding: some of the properties of ``wanted``.
    :param choose: whether a row with these is one of those that are looked for.
    :param page: of what decides.
    """
    part = collect_until(session, roots, wanted, routes, enough=lambda _read: True)
    if part.whole:
        return part.rows
    rows = collect(session, roots, deciding, routes, page)
    chosen = {row.moid: row.ref for row in rows if choose(row)}
    known = read_all(session, list(chosen.values()), wanted)
    return [known.get(row.moid, row) for row in rows if row.moid in known or row.moid not in chosen]


def read_all(
    session: Session,
    refs: t.Sequence[t.Any],
    wanted: t.Mapping[type, t.Sequence[str]],
) -> dict[str, Row]:
    """The properties of known objects by their types, by moid; one that is gone is left out."""
    return {row.moid: row for row in collect(session, refs, wanted)}


def read(session: Session, refs: t.Sequence[t.Any], kind: type, paths: t.Sequence[str]) -> dict[str, Row]:
    """The properties of known objects, by moid. An object that is gone is left out."""
    return read_all(session, refs, {kind: paths})


def filter_spec(refs: t.Sequence[t.Any], kind: type, paths: t.Sequence[str]) -> t.Any:
    """A filter on the properties of known objects, for waiting on their changes."""
    return _filter_spec(refs, {kind: paths}, ())


def utc(when: datetime.datetime | None) -> datetime.datetime | None:
    """A time that was read, in UTC, whatever zone it came in; vSphere's times are in UTC where they come without one."""
    if when is None:
        return None
    return when.replace(tzinfo=datetime.UTC) if when.tzinfo is None else when.astimezone(datetime.UTC)


def moment(when: datetime.datetime | None) -> str:
    """A time that was read, in ISO 8601 and UTC, so that such texts sort as the times do; empty for none."""
    known = utc(when)
    return known.isoformat() if known is not None else ""


def _filter_spec(
    roots: t.Sequence[t.Any],
    wanted: t.Mapping[type, t.Sequence[str]],
    routes: t.Sequence[Route],
) -> t.Any:
    named = {route.name: _Spec.SelectionSpec(name=route.name) for route in routes}
    steps = [_step(route, named) for route in routes]
    return _Spec.FilterSpec(
        objectSet=[_Spec.ObjectSpec(obj=root, skip=False, selectSet=steps) for root in roots],
        propSet=[_Spec.PropertySpec(type=kind, pathSet=list(paths), all=False) for kind, paths in wanted.items()],
        reportMissingObjectsInResults=True,
    )


def _step(route: Route, named: t.Mapping[str, t.Any]) -> t.Any:
    """A route as vSphere has it; of its followers, those that are among the named ones."""
    return _Spec.TraversalSpec(
        name=route.name,
        type=route.kind,
        path=route.path,
        skip=False,
        selectSet=[named[name] for name in route.then if name in named],
    )


# Asks for a page: the session, the method, its arguments -> what is kept of the rows, and the token
# of the next page.
_Ask: t.TypeAlias = "t.Callable[..., tuple[list[T], str]]"


def _typed(session: Session, method: str, *args: t.Any) -> tuple[list[Row], str]:
    """A page as pyVmomi's objects."""
    answer = getattr(session.collector, method)(*args)
    return ([_row(content) for content in answer.objects], answer.token or "") if answer is not None else ([], "")


def _pages(
    session: Session,
    spec: t.Any,
    page: int,
    ask: _Ask[T],
    kept: list[T],
    enough: t.Callable[[int], bool] = lambda _read: False,
) -> bool:
    """Read page by page into ``kept``; False where there was enough before the last.

    vCenter gives a page out only once, so the read begins again where one got lost.
    """
    generation = session.generation
    for reads_left in reversed(range(_MOST_READS)):
        kept.clear()
        rows, token = ask(session, "RetrievePropertiesEx", [spec], _Spec.RetrieveOptions(maxObjects=page))
        kept += rows
        try:
            while token:
                if enough(len(kept)):
                    return False
                rows, token = ask(session, "ContinueRetrievePropertiesEx", token)
                kept += rows
        except ConnectionLost:
            if not reads_left or session.unreachable() or session.limit.over():
                raise
        except Fault as fault:
            if session.generation == generation:
                raise
            # Another thread has replaced the session, and the pages that were left went with the old one.
            raise faults.session_expired() from fault
        else:
            break
    return True


def _row(content: t.Any) -> Row:
    for missing in content.missingSet:
        if isinstance(missing.fault, vim.fault.NotAuthenticated):
            raise faults.session_expired()
    # Some servers name a property that is unset, without a value.
    values = {prop.name: prop.val for prop in content.propSet if prop.val is not None}
    for path in _UUIDS & values.keys():
        values[path] = str(values[path]).lower()
    return Row(content.obj, values)
