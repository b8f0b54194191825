// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package vdisk is the bytes of virtual disks: layers and chains of them, which VMs use a layer, which ranges
// were written since when, and what a host takes for a disk's file.
package vdisk
