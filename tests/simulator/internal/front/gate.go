// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package front

import (
	"io"
	"net/http"

	"vforge.vsphere/simulator/internal/inject"
)

// guarded answers requests as the gate says.
func (s *Front) guarded(open http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if state := s.Gate.Now(); state != "" {
			s.turnAway(w, r, state)
			return
		}
		open.ServeHTTP(w, r)
	})
}

// turnAway does not answer a request, or as the gateway of a vCenter whose service is
// not up.
func (s *Front) turnAway(w http.ResponseWriter, r *http.Request, state string) {
	if state == inject.DoRestart {
		http.Error(w, "no healthy upstream", http.StatusServiceUnavailable)
		return
	}
	if state != inject.DoGone {
		s.hold(r)
	}
	inject.HangUp(w)
}

// hold keeps a request waiting until the gate opens, or until its client has gone.
func (s *Front) hold(r *http.Request) {
	// Only behind the body does the server notice that the client goes.
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	s.Gate.Wait(r.Context())
}
