// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package vms is what changes VMs: power, reconfiguration, moving, deleting, and attaching first class disks. The rules and
// their sources: "The rest, where it is stricter than vcsim" in the simulator's README.
package vms
