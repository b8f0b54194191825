#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# qemu-img 7.2.22, as Debian 12 has it (needs Debian 12 with its package lists). It is unpacked, not installed.
#
# Guess: the same image converted twice gives the same file, so a digest of it tells whether the content has changed.
# Seen:  true of qcow2. Each VMDK gets a random content ID in its descriptor, the streamOptimized ones for OVF packages too: a
#        package that is built again of the same image each night has another digest each night, in its manifest as well. The
#        content ID stands in a text at a fixed place; all other bytes are the same.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

apt-get download qemu-utils=1:7.2+dfsg-7+deb12u18+b3 liburing2=2.3-3 libaio1=0.3.113-4 >apt.log 2>&1 || { cat apt.log; exit 1; }
for package in *.deb; do
  dpkg -x "$package" unpacked
done
LD_LIBRARY_PATH=$(echo "$work"/unpacked/usr/lib/*-linux-gnu):$(echo "$work"/unpacked/lib/*-linux-gnu)
export LD_LIBRARY_PATH
qemu_img=$work/unpacked/usr/bin/qemu-img

truncate -s 8M image.raw
seq 20000 | dd of=image.raw bs=64K seek=16 conv=notrunc status=none
for run in 1 2; do
  "$qemu_img" convert -f raw -O qcow2 image.raw "$run.qcow2"
  for form in streamOptimized monolithicSparse monolithicFlat; do
    "$qemu_img" convert -f raw -O vmdk -o "subformat=$form" image.raw "$run-$form.vmdk"
  done
done
cmp 1.qcow2 2.qcow2
echo "qcow2: the same"
for form in streamOptimized monolithicSparse monolithicFlat; do
  if cmp -s "1-$form.vmdk" "2-$form.vmdk"; then
    echo "$form: the same, this has changed"
    exit 1
  fi
  for run in 1 2; do
    sed -e 's/^CID=[0-9a-f]*$/CID=/' -e "s/\"$run-/\"/" "$run-$form.vmdk" > "$run"
  done
  cmp 1 2
  echo "$form: $(grep -a ^CID= "1-$form.vmdk") and $(grep -a ^CID= "2-$form.vmdk"), all else the same"
done
