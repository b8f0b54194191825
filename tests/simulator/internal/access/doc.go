// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package access is who may come in, and what is seen then: logging in and out, roles and permissions, views,
// the search index. The rules and their sources: "Who may do what, and see what" in the simulator's README.
package access
