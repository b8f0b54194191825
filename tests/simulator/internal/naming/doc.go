// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package naming has the names of entities: how vCenter spells them, and who has one in a folder.
package naming
