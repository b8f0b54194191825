// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package snapshots is the snapshots of VMs: making and removing them, reverting, and consolidation. The rules and
// their sources: "Snapshots" in the simulator's README.
package snapshots
