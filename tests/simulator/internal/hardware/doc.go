// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package hardware is changes of the devices of VMs, for clones, imports and reconfigurations alike; also disks of one
// VM that are attached to another, and who may make disks and put cards on a network.
package hardware
