// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package inventory is what there is when the simulator starts: vcsim's datacenters, clusters, hosts and datastores,
// and VMs, which it makes directly, without tasks.
package inventory
