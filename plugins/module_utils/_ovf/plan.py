# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done next, from what holds the names. Pure.

Other runs work on the same names, so a step is decided anew whenever something has changed.
"""

from __future__ import annotations

import dataclasses

from .._connector import names
from .errors import TemplateError
from .facts import IMPORTING, READY, STRANGER, UNKNOWN, UNPUBLISHED, Holder
from .options import FAIL, KEEP_BOTH, OvfOptions, version_name

KEEP, WAIT, IMPORT, SWAP = "keep", "wait", "import", "swap"


@dataclasses.dataclass(frozen=True)
class Step:
    """The next step.

    :ivar kind: keep (it is there), wait (another run makes it), import, or swap (it is there by its version's name).
    :ivar name: the name to import under.
    :ivar holder: what is kept or waited for, or takes the name.
    :ivar old: what has the name now and makes room.
    """

    kind: str
    name: str = ""
    holder: Holder | None = None
    old: Holder | None = None


def decide(options: OvfOptions, digest: str, holder: Holder | None, version: Holder | None) -> Step:
    """The next step towards a template of this digest.

    :param holder: what has the name; ``version`` what has the name of this very version.
    :raises TemplateError: ``name_taken``, ``digest_mismatch``, ``other_cluster``.
    """
    if holder is None:
        if version is not None and version.digest == digest and version.state == READY and options.on_mismatch != KEEP_BOTH:
            return Step(SWAP, options.name, version)
        return Step(IMPORT, options.name)
    refuse_strangers(holder)
    if holder.state == UNKNOWN:
        return Step(WAIT, holder=holder)
    if holder.digest == digest:
        return _kept_or_waited_for(options, holder)
    if options.on_mismatch == FAIL:
        raise _mismatch(holder, digest)
    if options.on_mismatch != KEEP_BOTH and holder.state != READY:
        return Step(WAIT, holder=holder)
    return _beside(options, digest, holder, version)


def _beside(options: OvfOptions, digest: str, holder: Holder, version: Holder | None) -> Step:
    """The next step where another version has the name."""
    if version is None:
        return Step(IMPORT, version_name(options.name, digest))
    refuse_strangers(version)
    if version.state == UNKNOWN:
        return Step(WAIT, holder=version)
    if version.digest != digest:
        raise _mismatch(version, digest)
    step = _kept_or_waited_for(options, version)
    if step.kind == WAIT or options.on_mismatch == KEEP_BOTH:
        return step
    return Step(SWAP, options.name, version, old=holder)


def _kept_or_waited_for(options: OvfOptions, holder: Holder) -> Step:
    if holder.state in (IMPORTING, UNPUBLISHED):
        return Step(WAIT, holder=holder)
    wanted = options.place.cluster
    if wanted and holder.compute and not names.same(holder.compute, (names.split(wanted) or [""])[-1]):
        raise TemplateError(
            "other_cluster",
            f"The template {holder.path or holder.name} is in {holder.compute}, and {wanted} was asked for.",
            hint="A name can be had once in a folder: give each cluster a name or a folder of its own.",
            moid=holder.moid,
        )
    return Step(KEEP, holder=holder)


def refuse_strangers(holder: Holder) -> None:
    """Make sure that what has the name is made of a package.

    :raises TemplateError: ``name_taken``.
    """
    if holder.state == STRANGER:
        what = "a VM that was not made of an OVF package here" if holder.kind == "VirtualMachine" else f"a {holder.kind}"
        raise TemplateError(
            "name_taken",
            f"The name {holder.name} is taken by {what} ({holder.moid}), which is left alone.",
            hint="Choose another name or folder.",
            holder=holder.moid,
        )


def _mismatch(holder: Holder, digest: str) -> TemplateError:
    return TemplateError(
        "digest_mismatch",
        f"The template {holder.path or holder.name} was made of another package.",
        hint="Set on_mismatch to replace or keep_both, or choose another name.",
        digest=holder.digest,
        source_digest=digest,
        moid=holder.moid,
    )
