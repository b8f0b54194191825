// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package clusters is the clusters with their EVC modes, the processors of their hosts, and the features that VMs
// find there. The rules and their sources: "Processors and EVC" in the simulator's README.
package clusters
