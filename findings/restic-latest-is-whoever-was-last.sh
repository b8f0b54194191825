#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# restic 0.14.0, as Debian 12 has it (needs Debian 12 with its package lists). It is unpacked, not installed.
#
# Guess: `restore latest --include web.qcow2` brings back the file of the latest snapshot that has it, or fails.
# Seen:  "latest" is the last snapshot of the repository, of whatever path or host. If that is another VM's, nothing is restored,
#        and restic ends with 0. With --path it is the latest of that path. And a disk image of which 48 KiB were ever written
#        comes back with all its 16 MiB written.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

apt-get download restic=0.14.0-1+b5 >apt.log 2>&1 || { cat apt.log; exit 1; }
dpkg -x restic_*.deb unpacked
restic=$work/unpacked/usr/bin/restic
export RESTIC_REPOSITORY="$work/repository" RESTIC_PASSWORD=of-this-script RESTIC_CACHE_DIR="$work/cache"

mkdir web db
truncate -s 16M web/web.qcow2
seq 10000 | dd of=web/web.qcow2 bs=64K seek=32 count=1 conv=notrunc status=none
seq 10 > db/db.qcow2
"$restic" init --quiet
"$restic" backup --quiet web
"$restic" backup --quiet db

"$restic" restore latest --include web.qcow2 --target first >log
echo "restore latest: exit code $?, files: $(find . -path './first/*' -type f | wc -l)"
test -z "$(find . -path './first/*' -type f)"

"$restic" restore latest --path "$work/web" --include web.qcow2 --target second >log
back=$(find second -name web.qcow2)
cmp web/web.qcow2 "$back"
before=$(du -k web/web.qcow2 | cut -f1)
after=$(du -k "$back" | cut -f1)
echo "restore latest --path: the file; KiB that it takes on disk: $before before, $after after"
[ "$before" -lt 1024 ] && [ "$after" -ge 16384 ]
