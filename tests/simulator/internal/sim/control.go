// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"encoding/json"
	"log"
	"net/http"
)

// controlHandler is the control endpoint: what a test needs and vCenter has not.
func (s *Sim) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /calls", s.getCalls)
	mux.HandleFunc("POST /calls/reset", s.resetCalls)
	return mux
}

func (s *Sim) getCalls(w http.ResponseWriter, _ *http.Request) {
	total, by := s.calls.snapshot()
	reply(w, http.StatusOK, map[string]any{"total": total, "by_method": by})
}

func (s *Sim) resetCalls(w http.ResponseWriter, _ *http.Request) {
	s.calls.reset()
	reply(w, http.StatusOK, map[string]any{})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Printf("vforge-sim: control: %v", err)
	}
}
