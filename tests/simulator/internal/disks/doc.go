// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package disks is the virtual disks of VMs: their chains of layers, the files of each layer, how VMs list them, what
// becomes of layers that nobody needs, and changed block tracking; also disks that are files alone
// (VirtualDiskManager). The bytes are in package vdisk. The rules and their sources: "Disks" and "Changed
// block tracking" in the simulator's README.
package disks
