# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done next, from what has the names. Pure.

Other runs work on the same names, so a step is decided again whenever something has changed.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .model import (
    FAIL,
    FOREIGN,
    IMPORTING,
    KEEP_BOTH,
    NAME_KEY,
    READY,
    UNKNOWN,
    UNPUBLISHED,
    Existing,
    OvfOptions,
    TemplateError,
    version_name,
)

# The steps of the template. What has to be done is decided again whenever other runs have changed
# something.
IMPORT, WAIT, COMPLETE, SWAP = "import", "wait", "complete", "swap"

# The step of a version.
REMOVE = "remove"


@dataclasses.dataclass(frozen=True)
class Keep:
    """The template is there."""

    existing: Existing


@dataclasses.dataclass(frozen=True)
class Wait:
    """Another run makes it, or has left it unfinished."""

    existing: Existing


@dataclasses.dataclass(frozen=True)
class Import:
    """Nothing has the name.

    :ivar old: the version that has the name of the options, which the new one is to get; None where
        it is imported under the name that it keeps.
    """

    name: str
    old: Existing | None = None


@dataclasses.dataclass(frozen=True)
class Swap:
    """The template is there by the name of its version, and is to have the name itself.

    :ivar old: what has the name now and makes room; None where nothing has it.
    """

    name: str
    existing: Existing
    old: Existing | None = None


Step = t.Union[Keep, Wait, Import, Swap]  # noqa: UP007 (evaluated where modules run)


def decide(
    options: OvfOptions,
    digest: str,
    existing: Existing | None,
    version: Existing | None,
) -> Step:
    """The next step towards a template of this digest.

    :param existing: what has the name; ``version`` what has the name of this very version.
    :raises TemplateError: ``name_taken``, ``digest_mismatch``, ``other_cluster``.
    """
    if existing is None:
        if version is not None and _is_ready(version, options, digest) and options.on_mismatch != KEEP_BOTH:
            return Swap(options.name, version)
        return Import(options.name)
    refuse_foreign(existing)
    if existing.state == UNKNOWN:
        return Wait(existing)
    if existing.digest == digest:
        return _kept_or_waited_for(options, existing)
    if options.on_mismatch == FAIL:
        raise _mismatch(existing, digest)
    if options.on_mismatch != KEEP_BOTH and existing.state != READY:
        return Wait(existing)
    return _beside(options, digest, existing, version)


def _is_ready(version: Existing, options: OvfOptions, digest: str) -> bool:
    return version.is_version_of(options.name) and version.digest == digest and version.state == READY


def _beside(options: OvfOptions, digest: str, existing: Existing, version: Existing | None) -> Step:
    """The next step where another version has the name."""
    if version is None:
        old = existing if options.on_mismatch != KEEP_BOTH else None
        return Import(version_name(options.name, digest), old)
    refuse_foreign(version)
    if version.state == UNKNOWN:
        return Wait(version)
    if not version.is_version_of(options.name):
        raise TemplateError(
            "name_taken",
            f"The name {version.name} is taken by a template that was asked for as {version.marks[NAME_KEY]} ({version.moid}).",
            hint="Choose another name or folder.",
            holder=version.moid,
        )
    if version.digest != digest:
        raise _mismatch(version, digest)
    step = _kept_or_waited_for(options, version)
    if isinstance(step, Wait) or options.on_mismatch == KEEP_BOTH:
        return step
    return Swap(options.name, version, old=existing)


def _kept_or_waited_for(options: OvfOptions, existing: Existing) -> Keep | Wait:
    if existing.state in (IMPORTING, UNPUBLISHED):
        return Wait(existing)
    wanted = options.place.cluster
    name = (names.split(wanted or "") or [""])[-1]
    if wanted and existing.compute and not names.same(existing.compute, name):
        raise TemplateError(
            "other_cluster",
            f"The template {existing.path or existing.name} is in {existing.compute}, and {wanted} was asked for.",
            hint="A name can be had once in a folder: give each cluster a name or a folder of its own.",
            moid=existing.moid,
        )
    return Keep(existing)


def refuse_foreign(existing: Existing) -> None:
    """Make sure that what has the name is made of a package.

    :raises TemplateError: ``name_taken``.
    """
    if existing.is_lost:
        raise TemplateError(
            "name_taken",
            f"The name {existing.name} is taken by a VM that is {existing.connection} ({existing.moid}), so that vCenter "
            "does not say what it is.",
            hint="Bring its host and its datastore back, or take it out of the inventory.",
            holder=existing.moid,
        )
    if existing.state == FOREIGN:
        what = f"a {existing.kind}"
        if existing.kind == "VirtualMachine":
            is_off = existing.power_state == "poweredOff"
            what = "a VM that was not made of an OVF package here" if is_off else f"a VM that is {existing.power_state}"
        raise TemplateError(
            "name_taken",
            f"The name {existing.name} is taken by {what} ({existing.moid}), which is left alone.",
            hint="Choose another name or folder.",
            holder=existing.moid,
        )


def _mismatch(existing: Existing, digest: str) -> TemplateError:
    return TemplateError(
        "digest_mismatch",
        f"The template {existing.path or existing.name} was made of another package.",
        hint="Set on_mismatch to replace or keep_both, or choose another name.",
        template_digest=existing.digest,
        source_digest=digest,
        moid=existing.moid,
    )
