# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags of VMs, by the REST API: SOAP does not have them."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from .. import _signals
from .._errors import Fault, Interrupted

if t.TYPE_CHECKING:
    from .._connector.rest import RestSession

# Tags of all VMs. What is attached where comes in one call; a further one goes to each tag in use,
# and to each category.

_TAGS = "/com/vmware/cis/tagging/tag"
_CATEGORIES = "/com/vmware/cis/tagging/category"
_ASSOCIATION = "/com/vmware/cis/tagging/tag-association"
_ATTACHED = f"{_ASSOCIATION}?~action=list-attached-objects-on-tags"

_PARALLEL = 8


def read_tags(session: RestSession) -> dict[str, dict[str, t.Any]]:
    """The tags of VMs, by moid, as variables: ``tags`` (names by ID) and ``tags_by_category`` (for
    each category a list of such pairs), as vmware.vmware has them.

    :raises Fault: as vCenter does.
    """
    with session.understood("tags"):
        return _tags(session)


def _tags(session: RestSession) -> dict[str, dict[str, t.Any]]:
    known = session.call("GET", _TAGS) or []
    attached = (session.call("POST", _ATTACHED, {"tag_ids": known}) or []) if known else []
    used = {each["tag_id"]: _moids(each.get("object_ids") or ()) for each in attached}
    used = {tag: moids for tag, moids in sorted(used.items()) if moids}
    tags = _each(session, _TAGS, used)
    names = _each(session, _CATEGORIES, sorted({tag["category_id"] for tag in tags.values() if tag}))
    found: dict[str, dict[str, t.Any]] = {}
    for tag_id, tag in tags.items():
        category = names.get(tag["category_id"]) if tag else None
        if tag is None or category is None:
            continue
        for moid in used[tag_id]:
            variables = found.setdefault(moid, {"tags": {}, "tags_by_category": {}})
            variables["tags"][tag_id] = tag["name"]
            variables["tags_by_category"].setdefault(category["name"], []).append({tag_id: tag["name"]})
    return found


def known_ids(session: RestSession) -> set[str]:
    """The IDs of all tags that this user may see: one call."""
    with session.understood("tags"):
        return {str(each) for each in session.call("GET", _TAGS) or ()}


def attached_to(session: RestSession, moid: str) -> set[str]:
    """The IDs of the tags of a VM: one call."""
    body = {"object_id": {"id": moid, "type": "VirtualMachine"}}
    with session.understood("tags"):
        return {str(each) for each in session.call("POST", f"{_ASSOCIATION}?~action=list-attached-tags", body) or ()}


def attach(session: RestSession, moid: str, tags: t.Collection[str]) -> list[str]:
    """Attach tags to a VM: one call; a tag that it has already stays.

    :param tags: IDs.
    :returns: what vCenter says of those that it does not attach, in words.
    """
    body = {"object_id": {"id": moid, "type": "VirtualMachine"}, "tag_ids": sorted(tags)}
    answer = session.call("POST", f"{_ASSOCIATION}?~action=attach-multiple-tags-to-object", body) or {}
    with session.understood("tags"):
        return [str(each.get("default_message") or each.get("id")) for each in answer.get("error_messages") or ()]


def _moids(objects: t.Iterable[t.Mapping[str, str]]) -> list[str]:
    return [each["id"] for each in objects if each.get("type") == "VirtualMachine"]


def _each(session: RestSession, path: str, keys: t.Collection[str]) -> dict[str, t.Any]:
    """Tags or categories, by their keys; some are asked for at once."""
    pool = ThreadPoolExecutor(_PARALLEL)
    try:
        with _signals.held_back():  # a thread that is just being started would be lost
            answers = {key: pool.submit(_one, session, path, key) for key in keys}
        return {key: answer.result() for key, answer in answers.items()}
    except (Interrupted, KeyboardInterrupt):
        # What is under way is waited for no longer.
        with session.broken_off():
            pool.shutdown(cancel_futures=True)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _one(session: RestSession, path: str, key: str) -> t.Any:
    """A tag or a category; None for one that was removed since it was listed."""
    try:
        return session.call("GET", f"{path}/id:{key}")
    except Fault as fault:
        if fault.error_code == "not_found":
            return None
        raise
