// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package ovfmanager is the manager of OVF descriptors: what a descriptor asks for, and the descriptor of a VM. Reading the
// document is package ovfdoc. The rules and their sources: "OVF imports" in the simulator's README.
package ovfmanager
