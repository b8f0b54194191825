// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package cpus has the processors of hosts: what CPUID answers on them, the features that
// follow from it, and the EVC modes.
package cpus
