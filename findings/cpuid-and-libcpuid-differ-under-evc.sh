#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# cpuid 20230120 and cpuid_tool of libcpuid 0.6.2, as Debian 12 has them (needs Debian 12 with its package lists). They are
# unpacked, not installed, and read what a file says of a processor, not the one that they run on.
#
# Guess: in a guest under EVC the tools name the generation that EVC shows, or the one that is really there.
# Seen:  a Core i3-7100U (Kaby Lake) that shows family 6, model 63, stepping 0 (EVC "Haswell"), with its own brand text, which EVC
#        leaves as it is: cpuid says Haswell, libcpuid, which reads the brand text as well, says Broadwell-E: neither.
#
# Guess: "extended model" is bits 19 to 16 of EAX, as in the manuals, so it is 3.
# Seen:  3 for cpuid; libcpuid's --extmodel is the whole model, 63, and its --model the low four bits.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

apt-get download cpuid=20230120-1 cpuidtool=0.6.2+repack1-1 libcpuid16=0.6.2+repack1-1 >apt.log 2>&1 || { cat apt.log; exit 1; }
for package in *.deb; do
  dpkg -x "$package" unpacked
done
LD_LIBRARY_PATH=$(echo "$work"/unpacked/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH

# The leaves of vendor, version and brand text: register by register.
leaves="0:00000016 756e6547 6c65746e 49656e69
1:000306f0 00010800 fffa3203 0f8bfbff
80000000:80000004 00000000 00000000 00000000
80000002:65746e49 2952286c 726f4320 4d542865
80000003:33692029 3031372d 43205530 40205550
80000004:342e3220 7a484730 00000000 00000000"
echo 'CPU 0:' > for-cpuid
echo 'version=0.6.2' > for-libcpuid
echo "$leaves" | while IFS=': ' read -r leaf eax ebx ecx edx; do
  printf '   0x%08x 0x00: eax=0x%s ebx=0x%s ecx=0x%s edx=0x%s\n' "0x$leaf" "$eax" "$ebx" "$ecx" "$edx" >> for-cpuid
  case $leaf in
    8*) name="ext_cpuid[$((0x$leaf - 0x80000000))]" ;;
    *) name="basic_cpuid[$leaf]" ;;
  esac
  echo "$name=$eax $ebx $ecx $edx" >> for-libcpuid
done

unpacked/usr/bin/cpuid -f for-cpuid > by-cpuid
unpacked/usr/bin/cpuid_tool --load=for-libcpuid --brandstr --codename --model --extmodel --quiet > by-libcpuid
grep -F 'brand = "Intel(R) Core(TM) i3-7100U CPU @ 2.40GHz"' by-cpuid
grep -F '(uarch synth) = Intel Haswell {Haswell}, 22nm' by-cpuid
grep -E 'extended model +=' by-cpuid
grep -E 'extended model += 0x3 \(3\)' by-cpuid >/dev/null
grep -E '\(model synth\) += 0x3f \(63\)' by-cpuid
echo "libcpuid, for --brandstr --codename --model --extmodel:"
cat by-libcpuid
diff by-libcpuid - <<'SEEN'
Intel(R) Core(TM) i3-7100U CPU @ 2.40GHz
Broadwell-E (Core i3)
15
63
SEEN
