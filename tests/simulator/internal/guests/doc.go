// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package guests is what is inside VMs: what VMware Tools report, work inside a guest with its processes and files,
// file transfers, cloud-init, customization, and freezing. A guest itself is package guestos. The rules and their
// sources: "Inside a guest", "Customization of running guests" and "cloud-init" in the simulator's README.
package guests
