# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of disks on this machine: qemu-img is what reads, converts and compares their formats.

What qemu-img takes for granted is made sure of here, since it says nothing:

- A name with a colon before its first slash is a protocol to it. All names are absolute.
- It guesses formats from contents, which a guest has written in a raw image. The format is given.
- It reads what is behind the end of a file that was cut short as zeros, and what a descriptor of a
  VMDK leaves out, too. What an image says of itself is held against the sizes of its files.
- An image may name other files to be read, anywhere. Only those beside it are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import selectors
import subprocess
import tempfile
import time
import typing as t

from .. import _programs
from .._errors import TimedOut, VforgeError
from .._programs import MissingProgram, environment, find
from .._vsphere import vmdk

RAW, VMDK, QCOW2, VHDX, VPC, VDI = "raw", "vmdk", "qcow2", "vhdx", "vpc", "vdi"

STREAM = "streamOptimized"
SUBFORMATS = (STREAM, "monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat")

# Those that qemu-img takes. It refuses pvscsi and nvme, and VMware's own descriptors say lsilogic
# for both.
ADAPTERS = ("ide", "buslogic", "lsilogic", "legacyESX")

# Of the releases from this one on the output is what is read here.
_OLDEST = (6, 0)

_VERSION = re.compile(r"version (\d+)\.(\d+)")
_PERCENT = re.compile(rb"\(\s*(\d+(?:\.\d+)?)/100%\)")

_MAGIC = (
    (b"KDMV", VMDK),
    (b"# Disk DescriptorFile", VMDK),
    (b"COWD", VMDK),
    (b"QFI\xfb", QCOW2),
    (b"vhdxfile", VHDX),
    (b"conectix", VPC),
    (b"<<< ", VDI),
)

# Names of files whose bytes are those of the disk, whatever a guest has written there.
_ALWAYS_RAW = ("-flat.vmdk", ".raw", ".img", ".iso")

# Names that nobody gives to anything but a disk.
_DISK_NAMES = (".vmdk", ".raw", ".img", ".qcow2", ".vhdx", ".vhd", ".vdi")

# A backing chain that is longer than what anybody makes is a circle.
_MOST_BACKING = 64

# The end of qemu-img's own words, for messages.
_MOST_WORDS = 500

# The unit in which parts of images are unpacked.
_BLOCK = 2**16


class ImageError(VforgeError):
    """An image is not whole, not what it is called, or cannot be read."""

    error_code = "invalid_disk"


@dataclasses.dataclass(frozen=True)
class Image:
    """What an image is.

    :ivar path: absolute.
    :ivar capacity: of the disk, in bytes.
    :ivar files: all that its data are in, with those of its backing files; absolute.
    :ivar details: what only its format has, as qemu-img says it.
    """

    path: str
    format: str
    capacity: int
    files: tuple[str, ...]
    backing: str = ""
    details: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)

    @property
    def subformat(self) -> str:
        """The ``createType`` of a VMDK; empty for others."""
        return str(self.details.get("create-type") or "")


@dataclasses.dataclass(frozen=True)
class Span:
    """A piece of a disk, which reads as zeros or has data."""

    start: int
    length: int
    zero: bool


def guess(path: str) -> str:
    """The format of an image, by its name and its first bytes.

    :raises OSError: it cannot be read.
    """
    if path.endswith(_ALWAYS_RAW):
        return RAW
    with open(path, "rb") as file:
        head = file.read(512)
        size = os.fstat(file.fileno()).st_size
        # A VHD of fixed size has its mark at the end alone.
        file.seek(max(size - 512, 0))
        end = file.read(8)
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), VPC if end == b"conectix" else RAW)


def is_disk(path: str) -> bool:
    """Whether a file is a disk, by its name or by its first or last bytes; of a link to nothing by its name alone.

    :raises OSError: it cannot be read.
    """
    return path.lower().endswith(_DISK_NAMES) or (os.path.exists(path) and guess(path) != RAW)


class QemuImg:
    """The program ``qemu-img``, found on PATH.

    :param deadline: of ``time.monotonic()``, for each call.
    :raises MissingProgram: it is not there, or too old.
    """

    def __init__(self, deadline: float) -> None:
        self._program = find("qemu-img")
        self._deadline = deadline
        self.version = self._find_version()

    def _find_version(self) -> str:
        words = self._output("--version")
        number = _VERSION.search(words)
        if number is None or (int(number[1]), int(number[2])) < _OLDEST:
            raise MissingProgram(
                f"{self._program} is {words.splitlines()[0] if words else 'no qemu-img'}.",
                hint=f"Install qemu-img {_OLDEST[0]}.{_OLDEST[1]} or later.",
                program="qemu-img",
            )
        return f"{number[1]}.{number[2]}"

    # What there is

    def look(self, path: str, kind: str) -> Image:
        """What an image is; that all of its files are there, beside it and long enough.

        :param kind: its format, as qemu-img calls it.
        :raises ImageError: it is another thing, not whole, or names files that are elsewhere.
        """
        path = os.path.abspath(path)
        chain = [self._look_alone(path, kind)]
        while chain[-1].backing:
            if len(chain) > _MOST_BACKING:
                raise ImageError(f"{path} has a backing chain without end.", hint="Convert it to one file where it was made.")
            below = beside(chain[-1].path, chain[-1].backing)
            known = chain[-1].details.get("backing-format")
            chain.append(self._look_alone(below, str(known or guess(below))))
        return dataclasses.replace(chain[0], files=tuple(file for image in chain for file in image.files))

    def _look_alone(self, path: str, kind: str) -> Image:
        if not os.path.isfile(path):
            raise ImageError(f"{path} is not there, or no file.", hint="Look whether its path is right.", path=path)
        text = self._described(path) if kind == VMDK else None
        known = json.loads(self._output("info", "-U", "--output=json", "-f", kind, "--", path))
        own = (known.get("format-specific") or {}).get("data") or {}
        extents = [path, *(beside(path, extent.file) for extent in text.extents if extent.file)] if text else [path]
        if own.get("data-file"):
            extents.append(beside(path, str(own["data-file"])))
        image = Image(
            path=path,
            format=kind,
            capacity=int(known["virtual-size"]),
            files=tuple(dict.fromkeys(extents)),
            backing=str(known.get("backing-filename") or ""),
            details={**own, "backing-format": known.get("backing-filename-format")},
        )
        if text is not None:
            _check_extents(image, text)
        elif kind == VMDK:
            _check_alone(image)
        return image

    def _described(self, path: str) -> vmdk.Descriptor | None:
        """The descriptor of a VMDK that is a file of its own; None where it is in the file with the data.

        That one names its file as it was called when it was made.
        """
        with LocalBytes(path) as source:
            head = source.read(0, vmdk.MOST_DESCRIPTOR)
            try:
                if head.startswith(b"# Disk DescriptorFile"):
                    return vmdk.descriptor(head, path)
            except vmdk.NoDescriptor as error:
                raise ImageError(error.message, hint=error.hint, path=path) from error
        if vmdk.header_of(head) is None and not head.startswith(b"COWD"):
            # qemu-img would take a text that begins with an empty line for a raw image.
            raise ImageError(f"{path} is no VMDK.", hint="Name its format.", path=path)
        return None

    def spans(self, image: Image) -> t.Iterator[Span]:
        """Where an image has data, piece by piece; little is kept in memory.

        :raises ImageError: it cannot be read, or has data behind the end of its file.
        """
        # Of a disk in several files the places are not those in them; look has measured these.
        size = os.stat(image.path).st_size if image.files == (image.path,) else None
        words = ("map", "-U", "--output=json", "-f", image.format, "--", image.path)
        for line in self._lines(*words):
            text = line.strip().strip("[],")
            if not text:
                continue
            known = json.loads(text)
            span = Span(int(known["start"]), int(known["length"]), bool(known["zero"]))
            place = int(known.get("offset") or 0)
            if size is not None and known["data"] and place and place + span.length > size:
                raise _cut(image.path, size, f"it has data at byte {place}")
            yield span

    def allocated(self, image: Image) -> int:
        """Bytes of the disk that are not zeros without being stored."""
        return sum(span.length for span in self.spans(image) if not span.zero)

    # What is made

    def convert(
        self,
        image: Image,
        target: str,
        kind: str,
        options: t.Mapping[str, str],
        percent: t.Callable[[float], None],
    ) -> None:
        """Write the content of an image to a new file, without gaps of the source being read.

        Grains are written in their order, so that a streamOptimized VMDK can be streamed.

        :param kind: format of the new file.
        :param percent: is called with how far it is, from 0 to 100.
        :raises ImageError: it does not succeed. What there is of the target then is worth nothing.
        """
        given = [f"{name}={value}" for name, value in options.items()]
        words = ["convert", "-p", "-f", image.format, "-O", kind]
        if given:
            words += ["-o", ",".join(given)]
        with self._started(*words, "--", image.path, os.path.abspath(target), about=image.path) as process:
            for piece in self._pieces(process):
                for found in _PERCENT.findall(piece):
                    percent(float(found))

    def same(self, image: Image, other: Image) -> bool:
        """Whether two images have the same content; where one is longer, the rest of it is zeros.

        :raises ImageError: one cannot be read.
        """
        words = ("compare", "-U", "-f", image.format, "-F", other.format, "--", image.path, other.path)
        with self._started(*words, good=(0, 1), about=image.path) as process:
            for _piece in self._pieces(process):
                pass
        return process.returncode == 0

    def part(self, image: Image, start: int, length: int, target: str) -> int:
        """Write a part of an image's content into a raw file, in place of what is in it.

        :returns: how many bytes of the file lie before the part.
        :raises ImageError: it cannot be read.
        """
        # dd takes whole blocks, and counts them from the beginning of the image, skipped ones too.
        first, last = start // _BLOCK, -(-(start + length) // _BLOCK)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        words = ("dd", "-U", "-f", image.format, "-O", RAW, f"bs={_BLOCK}", f"skip={first}", f"count={last}")
        self._output(*words, f"if={image.path}", f"of={target}")
        return start - first * _BLOCK

    def read(
        self,
        image: Image,
        places: t.Sequence[int],
        size: int,
        begun: t.Callable[[subprocess.Popen[bytes]], None] = lambda _program: None,
    ) -> None:
        """Read blocks of an image in an order, and keep nothing of them.

        :param begun: is called with the program that reads, for who breaks it off.
        :raises MissingProgram: ``qemu-io`` is not there.
        :raises ImageError: one cannot be read.
        """
        program = find("qemu-io")
        orders = "".join(f"read -q {at} {min(size, image.capacity - at)}\n" for at in places)
        with _programs.start(
            [program, "-r", "-U", "-f", image.format, image.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(),
        ) as running:
            begun(running)
            try:
                said, _nothing = running.communicate(orders.encode(), max(self._deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired as late:
                running.kill()
                raise TimedOut("The time allowed for the task was over while qemu-io read.", hint="Raise timeout.") from late
        # It ends well whatever it could not read.
        if running.returncode or b"failed" in said or b"rror" in said:
            why = said.decode("utf-8", "replace").replace("qemu-io> ", "").strip()[-_MOST_WORDS:]
            raise ImageError(f"qemu-io cannot read {image.path}: {why}", hint="Look whether the image is whole.")

    def check(self, image: Image) -> None:
        """Have the image look at its own tables; formats that have none are as they are.

        :raises ImageError: there is something wrong.
        """
        # 63: the format has no checks.
        with self._started("check", "-U", "-f", image.format, "--", image.path, good=(0, 63)) as process:
            for _piece in self._pieces(process):
                pass

    # How it runs

    def _output(self, *words: str) -> str:
        with self._started(*words) as process:
            return b"".join(self._pieces(process)).decode("utf-8", "replace")

    def _lines(self, *words: str) -> t.Iterator[str]:
        with self._started(*words) as process:
            rest = b""
            for piece in self._pieces(process):
                *lines, rest = (rest + piece).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in lines)
            yield rest.decode("utf-8", "replace")

    @contextlib.contextmanager
    def _started(self, *words: str, good: t.Collection[int] = (0,), about: str = "") -> t.Iterator[subprocess.Popen[bytes]]:
        """Let it run as long as the context lasts; whatever ends that ends it.

        :param about: the image that a message is about; that of the last word where it is empty.
        :raises ImageError: it ended with another code than the good ones.
        """
        with tempfile.TemporaryFile() as said:
            process = _programs.start(
                [self._program, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                env=environment(),
            )
            try:
                yield process
                process.wait()
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                t.cast("t.IO[bytes]", process.stdout).close()
            if process.returncode not in good:
                said.seek(max(said.tell() - _MOST_WORDS, 0))
                why = said.read().decode("utf-8", "replace").strip() or f"it ended with code {process.returncode}"
                raise ImageError(
                    f"qemu-img {words[0]} refuses {about or words[-1]}: {why}", hint="Look whether the image is whole."
                )

    def _pieces(self, process: subprocess.Popen[bytes]) -> t.Iterator[bytes]:
        """What it writes, as it comes.

        :raises TimedOut: the deadline passed.
        """
        output = t.cast("t.IO[bytes]", process.stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while True:
                left = self._deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise TimedOut("The time allowed for the task was over while qemu-img worked.", hint="Raise timeout.")
                piece = os.read(output.fileno(), 2**16)
                if not piece:
                    return
                yield piece


def beside(path: str, name: str) -> str:
    """A file that an image names, which is to lie in the image's own folder.

    :raises ImageError: it lies elsewhere, or is no file of a file system at all.
    """
    folder = os.path.dirname(path)
    whole = os.path.normpath(os.path.join(folder, name))
    if os.path.dirname(whole) != folder or name.startswith("json:") or re.match(r"[A-Za-z][\w+.-]*:", name):
        raise ImageError(
            f"{path} names {name}, which is not in its folder.",
            hint="Images may read no other files: put all parts into one folder, or convert the image to one file.",
            path=path,
        )
    return whole


def _check_extents(image: Image, text: vmdk.Descriptor) -> None:
    """A descriptor's extents are there, long enough, and what qemu-img has read of them is all."""
    if image.capacity != text.capacity:
        raise ImageError(
            f"{image.path} describes {text.capacity} bytes, of which qemu-img reads {image.capacity}: "
            "it leaves out extents that are read-only, not accessible, or zeros.",
            hint="Convert it where it was made.",
            path=image.path,
        )
    for extent in text.extents:
        file = beside(image.path, extent.file)
        if extent.kind == "SPARSE":
            with LocalBytes(file) as source:
                check_whole(source)
        if extent.kind not in ("FLAT", "VMFS"):
            continue
        size = os.stat(file).st_size if os.path.isfile(file) else 0
        if size < (extent.offset + extent.sectors) * vmdk.SECTOR:
            raise _cut(file, size, f"{image.path} describes {(extent.offset + extent.sectors) * vmdk.SECTOR}")


def _check_alone(image: Image) -> None:
    """A VMDK of one file is whole."""
    with LocalBytes(image.path) as source:
        if image.subformat != STREAM:
            if vmdk.header_of(source.read(0, vmdk.SECTOR)) is not None:
                check_whole(source)
            return
        try:
            vmdk.verify(source)
        except vmdk.NotStreamOptimized as error:
            raise ImageError(error.message, hint=error.hint, path=image.path) from error


def check_whole(source: vmdk.Bytes) -> None:
    """Make sure that a sparse VMDK has all that its tables name.

    :raises ImageError: it has not.
    """
    try:
        vmdk.check_sparse(source)
    except vmdk.NotStreamOptimized as error:
        raise ImageError(error.message.removesuffix(" Hosts take streamOptimized VMDKs."), hint=error.hint) from error


def _cut(file: str, size: int, why: str) -> ImageError:
    return ImageError(
        f"{file} was cut short at {size} bytes: {why}.",
        hint="It was not copied or downloaded to its end: get it again.",
        path=file,
    )


class LocalBytes:
    """The bytes of a file, as ``vmdk.Bytes``; a context manager."""

    def __init__(self, path: str) -> None:
        self.label = path
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by the context)
        self.size = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> LocalBytes:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def read(self, at: int, size: int) -> bytes:
        """As many bytes from there, or up to the end."""
        parts = []
        while size > 0 and (part := os.pread(self._file.fileno(), size, at)):
            parts.append(part)
            at, size = at + len(part), size - len(part)
        return b"".join(parts)
