// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vstorage

import (
	"net/http"

	"vforge.vsphere/simulator/internal/controlhttp"
)

// PostVSLM chooses how many disks one answer of the global catalogue has at the most.
func (s *VStorage) PostVSLM(r *http.Request) (any, error) {
	body := struct {
		Limit int64 `json:"limit"`
	}{vslmLimit}
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	s.vslm.limit.Store(max(body.Limit, 1))
	return controlhttp.Done, nil
}
