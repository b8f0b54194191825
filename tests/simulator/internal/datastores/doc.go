// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package datastores is the datastores with their files: the file manager, the browser, directories of vSAN, /folder,
// and datastores that run out of space.
package datastores
