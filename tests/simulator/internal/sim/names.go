// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import "strings"

var nameEscaper = strings.NewReplacer("%", "%25", "/", "%2f", `\`, "%5c")

// escapeName spells an entity's name as vCenter stores it: the slash, the
// backslash and the percent sign are kept as %2f, %5c and %25.
func escapeName(name string) string { return nameEscaper.Replace(name) }
