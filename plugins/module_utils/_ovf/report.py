# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task tells, and the diff. Pure."""

from __future__ import annotations

import typing as t

from .. import _engine
from .facts import NAME_KEY, OWNER_KEY, SOURCE_KEY, Holder

if t.TYPE_CHECKING:
    from .job import Job
    from .present import Ended
    from .signature import Signer
    from .versions import Removal

_CHANGES = ("imported", "completed", "swapped", "removed")

# In check mode a step that would be done is told as if it had been, as Ansible's other modules do.
_WOULD = {"import": ["imported"], "swap": ["swapped"], "wait": ["waited"], "keep": []}


def template(holder: Holder) -> dict[str, t.Any]:
    """What is known of a template, as plain data."""
    return {
        "name": holder.name,
        "moid": holder.moid,
        "path": holder.path,
        "instance_uuid": holder.instance_uuid,
        "digest": holder.digest,
        "host": holder.host_name,
        "cluster": holder.compute,
        "datastores": list(holder.datastores),
        "version_of": holder.marks.get(NAME_KEY, ""),
        "source": holder.marks.get(SOURCE_KEY, ""),
        "state": holder.state,
    }


def present(job: Job, ended: Ended, before: Holder | None, *, check: bool) -> dict[str, t.Any]:
    """The result of ``state: present``."""
    account = job.account
    actions = [*_WOULD[ended.step.kind], *account.actions] if check else account.actions
    told = template(ended.template) if ended.template else {"name": ended.name, "digest": job.identity.digest}
    return {
        "changed": any(action in _CHANGES for action in actions),
        "template": told,
        "actions": actions,
        "digest": job.identity.digest,
        "source": {
            "label": job.package.source.label,
            "size": job.package.size,
            "files": {name: str(digest) for name, digest in job.identity.files.items()},
            **_signer(account.signer),
        },
        "descriptor_warnings": account.descriptor_warnings,
        "transfer": {
            "sent": account.sent,
            "read": job.digester.read,
            "attempts": account.attempts,
            "seconds": account.transfer_seconds,
        },
        "removed_versions": account.removed,
        "kept_versions": account.kept,
        "diff": diff(_line(before), _line_after(job, ended)),
        "timing": account.timing,
    }


def _signer(signer: Signer | None) -> dict[str, str]:
    """Who vouches for the package; empty where no signature was asked for."""
    if signer is None:
        return {"signer": "", "signer_fingerprint": "", "signer_authority": ""}
    return {"signer": signer.name, "signer_fingerprint": signer.fingerprint, "signer_authority": signer.authority}


def absent(name: str, holder: Holder | None, gone: Removal) -> dict[str, t.Any]:
    """The result of ``state: absent``."""
    removed = [one.path for one in gone.removed]
    return {
        "changed": bool(removed),
        "template": {"name": name},
        "actions": ["removed"] if removed else [],
        "removed_versions": removed,
        "kept_versions": [{"path": one.path, "moid": one.moid, "used_by": users} for one, users in gone.kept],
        "diff": diff(_line(holder), "" if holder in gone.removed else _line(holder)),
    }


def info(holder: Holder, users: t.Sequence[str] | None) -> dict[str, t.Any]:
    """One entry of the information module."""
    told = {**template(holder), "owner": holder.marks.get(OWNER_KEY, "")}
    return told if users is None else {**told, "used_by": list(users)}


def diff(before: str, after: str) -> dict[str, str]:
    """As ``--diff`` shows it."""
    return _engine.diff([before], [after])


def _line(holder: Holder | None) -> str:
    return f"{holder.name}: {holder.digest}\n" if holder is not None else ""


def _line_after(job: Job, ended: Ended) -> str:
    return f"{ended.name}: {job.identity.digest}\n"
