# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task for a cached template from its options to its result.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._errors import PartialFailure
from .._files import PrivateFolder
from . import absent, descriptor, identity, lookup, plan, present, report, signature
from .identity import DigestCache, Digester, Identity
from .job import Account, Job, Meter
from .options import ABSENT, OvfOptions
from .package import Package, open_package

if t.TYPE_CHECKING:
    from .._connector.session import Session


def run(session: Session, options: OvfOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result.
    :raises VforgeError: whatever stands in the way; nothing half-made stays.
    :raises PartialFailure: the template is ready, but an old version could not be removed; it holds the whole result.
    """
    deadline = session.deadline(options.timeout)
    if options.state == ABSENT:
        return absent.run(session, options, deadline, check=check)
    begun = time.monotonic()
    account = Account()
    package = _open(options, account, deadline)
    digester = _digester(session, options, package)
    known = _identify(options, package, digester)
    read = time.monotonic()
    home = lookup.find_home(session, options.place)
    job = Job(session, options, package, known, home, deadline, digester, account)
    ended = present.look(job) if check else present.make_sure(job)
    failure = present.remove_old(job, ended.template, check=check)
    account.timing.update(source=round(read - begun, 3), work=round(time.monotonic() - read, 3))
    if ended.step.kind == plan.IMPORT or "imported" in account.actions:
        # What cannot be told of the bytes matters to the run that brings them.
        account.warnings[:0] = known.warnings
    for warning in account.warnings:
        session.warn(warning)
    result = report.present(job, ended, ended.step.old, check=check)
    if failure:
        raise PartialFailure(f"The template {ended.name} is ready. {failure}", result, hint="Run again to remove the rest.")
    return result


def _open(options: OvfOptions, account: Account, deadline: float) -> Package:
    descriptor.require()
    if options.certificate_ca:
        signature.require()
    access = dataclasses.replace(options.access, deadline=deadline)
    package = open_package(
        options.source or "",
        access,
        signed=options.certificate_ca is not None,
        system=options.deployment.system,
    )
    if options.certificate_ca:
        account.signer = signature.verify(package, options.certificate_ca)
    return package


def _digester(session: Session, options: OvfOptions, package: Package) -> Digester:
    cache = DigestCache(PrivateFolder.find(session.warn, "digests", "the source is read again"), session.warn)
    meter = Meter(f"reading {package.label}", package.size, session.tell)
    return Digester(cache, always=options.always_read, tell=meter.reach)


def _identify(options: OvfOptions, package: Package, digester: Digester) -> Identity:
    return identity.identify(
        package,
        digester,
        given=options.checksum,
        signed=options.certificate_ca is not None,
        everything=options.always_read and options.verify == identity.BEFORE,
        also=options.told_by_hosts,
    )
