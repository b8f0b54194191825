// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package apiversion

// hardwareVersions are the newest virtual hardware that each release has.
var hardwareVersions = []struct {
	since string
	vmx   int
}{{"9.0.0.0", 22}, {"8.0.2.0", 21}, {"8.0.0.0", 20}, {"7.0.2.0", 19}, {"7.0.1.0", 18}, {"7.0.0.0", 17}, {"6.7.2", 15}, {"6.7", 14}, {"6.5", 13}, {"6.0", 11}}

// NewestHardware is the number of the newest virtual hardware that the hosts of a release have.
func NewestHardware(api string) int {
	for _, v := range hardwareVersions {
		if !Less(api, v.since) {
			return v.vmx
		}
	}
	return 8
}
