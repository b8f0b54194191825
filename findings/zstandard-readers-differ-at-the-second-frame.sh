#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# zstandard 0.25.0.
#
# Guess: a file of two frames, one appended to the other, is read whole, or by no reader.
# Seen:  decompress, decompressobj and read_to_iter give the first frame and no error; copy_stream and stream_reader give
#        both. A file of changed areas to which a second run appended reads as half of what changed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check zstandard==0.25.0

venv/bin/python - <<'CHECK'
import io

import zstandard

compress = zstandard.ZstdCompressor().compress
both = compress(b"first ") + compress(b"second")


def copied():
    target = io.BytesIO()
    zstandard.ZstdDecompressor().copy_stream(io.BytesIO(both), target)
    return target.getvalue()


reader = zstandard.ZstdDecompressor
seen = {
    "decompress": reader().decompress(both),
    "decompressobj": reader().decompressobj().decompress(both),
    "read_to_iter": b"".join(reader().read_to_iter(io.BytesIO(both))),
    "stream_reader": reader().stream_reader(io.BytesIO(both)).read(),
    "copy_stream": copied(),
}
for name, text in seen.items():
    print(f"{name}: {text.decode()}")
assert [name for name, text in seen.items() if text == b"first "] == ["decompress", "decompressobj", "read_to_iter"]
assert [name for name, text in seen.items() if text == b"first second"] == ["stream_reader", "copy_stream"]
CHECK
