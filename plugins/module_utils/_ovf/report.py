# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task returns, its diff, and how far it is. Pure."""

from __future__ import annotations

import typing as t

from .. import _engine
from .model import NAME_KEY, OWNER_KEY, SOURCE_KEY, Existing, version_name
from .plan import COMPLETE, IMPORT, SWAP, WAIT

if t.TYPE_CHECKING:
    from .signature import Signer
    from .task import TemplateItem, TemplateTask, VersionItem

# What each step of the template is called among the actions of the result. Waiting for another run
# changes nothing.
_DONE = {IMPORT: "imported", WAIT: "waited", COMPLETE: "completed", SWAP: "swapped"}
_CHANGES = frozenset((IMPORT, COMPLETE, SWAP))


def template(existing: Existing) -> dict[str, t.Any]:
    """What is known of a template, as plain data."""
    return {
        "name": existing.name,
        "moid": existing.moid,
        "path": existing.path,
        "instance_uuid": existing.instance_uuid,
        "digest": existing.digest,
        "host": existing.host_name,
        "cluster": existing.compute,
        "datastores": list(existing.datastores),
        "version_of": existing.marks.get(NAME_KEY, ""),
        "source": existing.marks.get(SOURCE_KEY, ""),
        "state": existing.state,
    }


def present(task: TemplateTask, versions: t.Sequence[VersionItem]) -> dict[str, t.Any]:
    """The result of ``state: present``; in check mode what would be done is listed as done."""
    item, account = task.template, task.account
    actions = [*_actions(item), *(["removed"] if any(version.done for version in versions) else [])]
    return {
        "changed": _is_change(item) or any(version.done for version in versions),
        "template": _template_entry(item, task.identity.digest),
        "actions": actions,
        "digest": task.identity.digest,
        "source": {
            "label": task.package.source.label,
            "size": task.package.size,
            "files": {name: str(digest) for name, digest in task.identity.files.items()},
            **_signer(account.signer),
        },
        "descriptor_warnings": account.descriptor_warnings,
        "transfer": {
            "sent": account.sent,
            "read": task.digester.read,
            "attempts": account.attempts,
            "seconds": account.transfer_seconds,
        },
        **_removed(versions),
        "diff": _present_diff(item, versions, task.identity.digest),
    }


def _present_diff(
    item: TemplateItem,
    versions: t.Sequence[VersionItem],
    digest: str,
) -> dict[str, str]:
    """What became of the names; nothing where nothing did."""
    gone = {version.now.moid: version.now for version in versions if version.done}
    before = [_line(now) for moid, now in gone.items() if item.old is None or moid != item.old.moid]
    after: list[str] = []
    if item.old is not None and SWAP in item.done:
        before.insert(0, _line(item.old))
        if item.old.moid not in gone:
            after.append(f"{version_name(item.old.name, item.old.digest)}: {item.old.digest}\n")
    if not _CHANGES.isdisjoint(item.done):
        after.insert(0, f"{item.made_as}: {digest}\n")
    return _engine.diff(before, after)


def _actions(item: TemplateItem) -> list[str]:
    return item.actions(_DONE)


def _is_change(item: TemplateItem) -> bool:
    return bool(item.parts) or not _CHANGES.isdisjoint(item.done)


def _template_entry(item: TemplateItem, digest: str) -> dict[str, t.Any]:
    known = template(item.now) if item.now is not None else {"name": item.made_as, "digest": digest}
    entry = {
        **known,
        "actions": _actions(item),
        "changed": _is_change(item),
        "seconds": item.seconds,
    }
    return item.with_error(entry)


def _removed(versions: t.Sequence[VersionItem]) -> dict[str, t.Any]:
    return {
        "removed_versions": [version.now.path for version in versions if version.done],
        "kept_versions": [
            {"path": version.now.path, "moid": version.now.moid, "used_by": list(version.users)}
            for version in versions
            if version.users
        ],
    }


def _signer(signer: Signer | None) -> dict[str, str]:
    """Who vouches for the package; empty where no signature was asked for."""
    if signer is None:
        return {"signer": "", "signer_fingerprint": "", "signer_authority": ""}
    return {
        "signer": signer.name,
        "signer_fingerprint": signer.fingerprint,
        "signer_authority": signer.authority,
    }


def absent(
    name: str,
    existing: Existing | None,
    versions: t.Sequence[VersionItem],
) -> dict[str, t.Any]:
    """The result of ``state: absent``.

    :param existing: what has the name.
    :param versions: all that was to be removed, with the template itself.
    """
    gone = [version.now.moid for version in versions if version.done]
    is_gone = existing is not None and existing.moid in gone
    return {
        "changed": bool(gone),
        "template": {"name": name},
        "actions": ["removed"] if gone else [],
        **_removed(versions),
        "diff": diff(_line(existing), "" if is_gone else _line(existing)),
    }


def info(existing: Existing, users: t.Mapping[str, str] | None) -> dict[str, t.Any]:
    """One entry of the information module.

    :param users: the names of the VMs that depend on its disks, by moid; None where that was not
        asked.
    """
    entry = {**template(existing), "owner": existing.marks.get(OWNER_KEY, "")}
    if users is None:
        return entry
    by_name = sorted(users.items(), key=lambda user: (user[1], user[0]))
    return {
        **entry,
        "used_by": [name for _moid, name in by_name],
        "users": [{"name": name, "moid": moid} for moid, name in by_name],
    }


def diff(before: str, after: str) -> dict[str, str]:
    """As ``--diff`` shows it."""
    return _engine.diff([before], [after])


def _line(existing: Existing | None) -> str:
    return f"{existing.name}: {existing.digest}\n" if existing is not None else ""
