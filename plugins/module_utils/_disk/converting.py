# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From one format to another on this machine, and what a file there is."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from .._progress import Meter
from .._vsphere import vmdk
from . import image, local
from .image import Image, ImageError, LocalBytes, QemuImg
from .local import Content, HashedBytes
from .model import Output

_HUNDRED = 100.0


@dataclasses.dataclass(frozen=True)
class Made:
    """A file that was made, and proved.

    :ivar content: SHA-256 of its content; empty where it was compared in another way.
    :ivar file: of a stream, the digest of the file that was verified, as a host makes it of what it gets.
    """

    image: Image
    content: str
    file: str = ""


class Stream(t.NamedTuple):
    """A streamOptimized VMDK that was read.

    :ivar content: SHA-256 of the content of its disk.
    :ivar file: the digest of the file, as a host makes it of what it gets.
    """

    found: vmdk.Verified
    content: str
    file: str


def source(tool: QemuImg, path: str, kind: str) -> Image:
    """An image that is to be read.

    :param kind: its format as qemu-img calls it, or ``auto``.
    :raises ImageError: it is not there, not whole, or another thing.
    """
    if not os.path.isfile(path):
        raise ImageError(f"{path} is not there, or no file.", hint="Look whether its path is right.", path=path)
    found = tool.look(path, image.guess(path) if kind == "auto" else kind)
    if found.format not in (image.RAW, image.VMDK):
        # Their tables name what is behind the end of a file that was cut short.
        for _span in tool.spans(found):
            pass
    return found


def filled(tool: QemuImg, path: str, kind: str) -> Image:
    """An image that is to become another one: as ``source``, with something in it.

    :raises ImageError: it has no bytes, or is not there, not whole, or another thing.
    """
    if os.path.isfile(path) and not os.path.getsize(path):
        _refuse_empty(path, "is empty (0 bytes)")
    found = source(tool, path, kind)
    if not found.capacity:
        _refuse_empty(path, "has a disk of 0 bytes")
    return found


def _refuse_empty(path: str, why: str) -> t.NoReturn:
    raise ImageError(f"{path} {why}.", hint="It was not copied or downloaded to its end: get it again.", path=path)


def checksum(path: str, wanted: str, tell: t.Callable[[str], None]) -> None:
    """Hold a file against the digest that it is to have.

    :param wanted: SHA-256 in hexadecimal digits; empty for none.
    :raises ImageError: it has another one.
    """
    if not wanted:
        return
    meter = Meter(f"reading {path}", os.stat(path).st_size, tell)
    found = local.file_digest(path, meter.add)
    if found != wanted:
        raise ImageError(
            f"{path} has the SHA-256 {found}, and {wanted} is asked for.",
            hint="It was changed, or not copied to its end: get it again.",
            path=path,
        )


def convert(tool: QemuImg, found: Image, target: str, output: Output, tell: t.Callable[[str], None], content: str = "") -> Made:
    """Write an image in another format, and prove that its content is the same.

    :param target: path of the file, in a folder where nothing else is.
    :param content: SHA-256 of the content, where it is known.
    :raises ImageError: it cannot be converted, or what came of it is not the same.
    """
    meter = Meter(f"converting {found.path}", found.capacity, tell)
    tool.convert(
        found,
        target,
        output.format,
        output.options,
        lambda percent: meter.reach(int(found.capacity * percent / _HUNDRED), found.capacity),
    )
    return prove(tool, found, tool.look(target, output.format), tell, content)


def prove(tool: QemuImg, found: Image, made: Image, tell: t.Callable[[str], None], content: str) -> Made:
    """Make sure that an image has the content of another.

    A disk has whole sectors, so that a source of another size is filled up with zeros.

    :raises ImageError: it has not.
    """
    sectors = -(-found.capacity // vmdk.SECTOR) * vmdk.SECTOR
    if made.capacity < found.capacity or (made.format == image.VMDK and made.capacity != sectors):
        raise ImageError(f"{found.path} has {found.capacity} bytes, and what was made of it {made.capacity}.")
    digest = file = ""
    if made.format == image.VMDK and made.subformat == image.STREAM:
        _verified, digest, file = read_stream(made.path, tell)
    if digest and content and made.capacity == found.capacity:
        same = digest == content
    else:
        tell(f"comparing {found.path} with what was made of it")
        same = tool.same(found, made)
    if not same:
        raise ImageError(f"What was made of {found.path} has another content.", hint="Look whether its file system has errors.")
    return Made(made, digest or content, file)


def read_stream(path: str, tell: t.Callable[[str], None]) -> Stream:
    """Verify a streamOptimized VMDK, grain by grain.

    :raises NotStreamOptimized: it is damaged, or something else.
    """
    with LocalBytes(path) as file:
        data = HashedBytes(file, vmdk.HOST_DIGEST)
        header = vmdk.look(file)
        content = Content(Meter(f"verifying {path}", header.capacity * vmdk.SECTOR, tell).add)
        found = vmdk.verify(data, content.take)
        return Stream(found, content.hexdigest(), data.hexdigest())


def described(tool: QemuImg, found: Image) -> dict[str, t.Any]:
    """What a file on this machine is, for the result."""
    text = descriptor_of(found)
    return {
        "path": found.path,
        "format": found.format,
        "subformat": found.subformat,
        "capacity": found.capacity,
        "allocated": tool.allocated(found),
        "size": sum(os.stat(file).st_size for file in found.files),
        "files": list(found.files),
        "backing": found.backing,
        **(of_descriptor(text) if text is not None else {}),
    }


def descriptor_of(found: Image) -> vmdk.Descriptor | None:
    """The descriptor of a VMDK on this machine; None for what has none."""
    if found.format != image.VMDK:
        return None
    with LocalBytes(found.path) as data:
        head = data.read(0, vmdk.MOST_DESCRIPTOR)
        if head.startswith(b"# Disk DescriptorFile"):
            return vmdk.descriptor(head, found.path)
        return vmdk.embedded_descriptor(data)


def of_descriptor(text: vmdk.Descriptor) -> dict[str, t.Any]:
    """What a descriptor says, for the result."""
    return {
        "adapter": text.adapter,
        "hardware_version": text.values.get("ddb.virtualhwversion", ""),
        "uuid": text.values.get("ddb.uuid", ""),
        "cid": text.values.get("cid", ""),
        "parent_cid": text.values.get("parentcid", ""),
        "parent": text.parent,
        "create_type": text.create_type,
        "thin": text.values.get("ddb.thinprovisioned") == "1",
        "extents": [
            {"access": each.access, "size": each.sectors * vmdk.SECTOR, "type": each.kind, "file": each.file}
            for each in text.extents
        ],
    }
