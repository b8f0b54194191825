# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry the files of a package to the host of a lease.

Several at once, each looked at on its way.
"""

from __future__ import annotations

import time
import typing as t

from .._connector import tasks
from .._connector.web import Stop
from .._errors import TimedOut, VforgeError
from .._progress import Meter
from .._vsphere import lease as leases
from .._vsphere import sending
from . import apply, identity, read
from .blobs import Blob, PackageError, SliceBlob
from .manifest import Digest
from .model import PULL, PUSH, TemplateError
from .websource import RemoteBlob

if t.TYPE_CHECKING:
    from .task import TemplateTask


def carry(
    job: TemplateTask,
    lease: leases.Lease,
    ready: leases.Ready,
    items: t.Sequence[t.Any],
) -> None:
    """Bring the files of the import to where the lease says.

    :param items: vCenter's list of the files (``OvfFileItem``).
    :raises VforgeError: the first thing that went wrong; the others are broken off.
    """
    pairs = addressed(items, ready)
    begun = time.monotonic()
    meter = Meter(
        job.package.label,
        sum(_blob(job, item).size for item, _device in pairs),
        job.session.show_progress,
    )
    # One that ends both what is sent and what is read of a web server for it.
    stop = job.options.access.stop
    try:
        with lease.held(ready.timeout, meter.percent, stop):
            if job.options.transfer == PULL:
                _pull(job, lease, items)
            else:
                _push(job, pairs, meter, stop)
    finally:
        stop.clear()
    for blob in job.package.files.values():
        if not blob.unchanged():
            raise PackageError(
                "source_changed",
                f"{blob.label} was changed while it was sent.",
                hint="Run again.",
            )
    job.account.sent += meter.total if job.options.transfer == PUSH else 0
    job.account.transfer_seconds = round(time.monotonic() - begun, 3)


def addressed(items: t.Sequence[t.Any], ready: leases.Ready) -> list[tuple[t.Any, leases.Device]]:
    """Each file that vCenter asks for, with where it goes.

    Those that the lease has no address for are left out.
    """
    devices = {read.address(device.import_key): device for device in ready.devices}
    known = [(item, devices.get(read.address(item.deviceId))) for item in items]
    return [(item, device) for item, device in known if device is not None]


def compare(
    job: TemplateTask,
    lease: leases.Lease,
    pairs: t.Sequence[tuple[t.Any, leases.Device]],
) -> bool:
    """Hold what the host has got against what was sent, or what it was to fetch.

    :returns: whether the host reported the size of every file.
    :raises TemplateError: ``incomplete_upload``, ``upload_unverified``.
    """
    received = lease.received()
    sizes = {}
    for device, items in _by_device(pairs):
        sizes[device.key] = [_blob(job, item).size for item in items]
    for item, device in pairs:
        size, have = _blob(job, item).size, received.get(device.key)
        # Of a disk with parent references the host may report its last file, or all of them together.
        fitting = (sizes[device.key][-1], sum(sizes[device.key]))
        # Some releases report no size of what they were sent: 0.
        if have is not None and have.size and have.size not in fitting:
            raise TemplateError(
                "incomplete_upload",
                f"{item.path} has {size} bytes, and the host has got {have.size}. The import was aborted.",
                hint="Run again; if it happens again, look at what is between here and the ESXi hosts.",
            )
        if job.options.transfer == PULL:
            _compare_fetched(job, item, have)
    return all(device.key in received and received[device.key].size for _item, device in pairs)


def _compare_fetched(job: TemplateTask, item: t.Any, have: leases.Received | None) -> None:
    """Hold the digest that a host reports of what it has fetched against what was read from here."""
    known = {digest.algorithm: digest for digest in job.identity.read.get(item.path, ())}
    if not known:
        return  # verify: none
    reported = [
        Digest(algorithm, value) for algorithm, value in (have.digests if have is not None else ()) if algorithm in known
    ]
    if not reported:
        raise TemplateError(
            "upload_unverified",
            f"The host reports no digest of {item.path}, so what it has fetched is not known. The import was aborted.",
            hint="Leave transfer on push, or set verify to none where the server of the source is trusted.",
        )
    for found in reported:
        if found != known[found.algorithm]:
            raise identity.mismatch(
                item.path,
                found,
                known[found.algorithm],
                "what was read of it from here",
            )


def _blob(job: TemplateTask, item: t.Any) -> Blob:
    blob = job.package.files.get(item.path)
    if blob is None:
        raise PackageError(
            "invalid_package",
            f"vCenter asks for {item.path}, which the descriptor does not list.",
        )
    return blob


def _push(
    job: TemplateTask,
    pairs: t.Sequence[tuple[t.Any, leases.Device]],
    meter: Meter,
    stop: Stop,
) -> None:
    chains = [[_upload(job, item, device) for item in items] for device, items in _by_device(pairs)]
    sender = sending.Sender(
        job.session,
        job.options.parallel,
        job.deadline,
        stop,
        progress=meter.add,
        check=lambda upload, value: _check(job, upload, value),
    )
    try:
        sender.send(chains)
    finally:
        job.account.attempts = max(job.account.attempts, sender.attempts)


def _upload(job: TemplateTask, item: t.Any, device: leases.Device) -> sending.Upload:
    algorithm = job.identity.files[item.path].algorithm
    return sending.Upload(item.path, _blob(job, item), device, bool(item.create), algorithm)


def _check(job: TemplateTask, upload: sending.Upload, value: str) -> None:
    """Hold the digest of what was sent against what the file is to be.

    :raises PackageError: ``checksum_mismatch``, ``source_changed``.
    """
    found = Digest(upload.algorithm, value)
    if found != job.identity.files[upload.name]:
        raise identity.wrong(job.package, job.identity, upload.name, found, job.digester)


def _by_device(
    pairs: t.Sequence[tuple[t.Any, leases.Device]],
) -> list[tuple[leases.Device, list[t.Any]]]:
    """The files of each device, in the order in which vCenter lists them."""
    found: dict[str, tuple[leases.Device, list[t.Any]]] = {}
    for item, device in pairs:
        found.setdefault(device.key, (device, []))[1].append(item)
    return list(found.values())


def _pull(job: TemplateTask, lease: leases.Lease, items: t.Sequence[t.Any]) -> None:
    """Let the host fetch the files."""
    task = lease.pull([_source_file(job, item) for item in items])
    errors: list[VforgeError] = []

    def ended(_moid: str, end: tasks.TaskEnd) -> None:
        if end.error is not None:
            errors.append(end.error)

    if tasks.wait_for_tasks(job.session, [task], job.deadline, ended):
        raise TimedOut(
            "The host did not fetch the source in the time allowed.",
            hint="Raise timeout.",
        )
    if errors:
        raise errors[0]


def _source_file(job: TemplateTask, item: t.Any) -> t.Any:
    blob = _blob(job, item)
    whole, member = (blob.whole, blob.name) if isinstance(blob, SliceBlob) else (blob, None)
    if not isinstance(whole, RemoteBlob):
        raise PackageError(
            "invalid_source",
            f"A host cannot fetch {blob.label}.",
            hint="Leave transfer on push.",
        )
    made = apply.source_file(
        item.deviceId,
        whole.resolved,
        member,
        blob.size,
        whole.request_headers(),
        create=bool(item.create),
    )
    if whole.certificate is not None:  # it was verified from here
        apply.pin(made, whole.certificate, job.session.about.get("apiVersion", ""))
    return made
