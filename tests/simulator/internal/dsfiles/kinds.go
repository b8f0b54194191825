// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package dsfiles

// VSAN is the kind of a datastore that clients see as vsan. Of that name, vcsim would keep the topmost
// directories under names of its own, with which nothing here would find them.
const VSAN = "vSAN"
