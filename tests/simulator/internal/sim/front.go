// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"io"
	"net/http"
	"net/url"

	"github.com/vmware/govmomi/simulator"
)

// maxBody is the largest SOAP request that is read; vCenter's own limit is of this
// order.
const maxBody = 64 << 20

// front is the HTTP handler of the SDK endpoint: it sees every call before vcsim
// does.
func (s *Sim) front() http.Handler {
	s.svc.Listen = &url.URL{Scheme: "https", Host: s.sdkAddr.String(), Path: "/sdk"}
	s.reg.SessionManager().ServiceHostName = s.sdkAddr.String()
	s.svc.RegisterSDK(s.reg, s.reg.Path+"/vimService")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sdk/vimServiceVersions.xml", s.serveVersions)
	mux.HandleFunc("POST /sdk", s.serveSDK)
	mux.HandleFunc("POST /sdk/{$}", s.serveSDK)
	mux.HandleFunc("POST /sdk/vimService", s.serveSDK)
	mux.HandleFunc("/folder/", s.svc.ServeDatastore)
	mux.HandleFunc("/nfc/", simulator.ServeNFC)
	return mux
}

func (s *Sim) serveSDK(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "request body: "+err.Error(), http.StatusBadRequest)
		return
	}
	call, err := parseCall(body)
	if err != nil {
		http.Error(w, "not a SOAP request: "+err.Error(), http.StatusBadRequest)
		return
	}
	s.calls.add(call.method)
	sleep(r.Context(), s.cfg.Latency)
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.URL.Path = "/sdk"
	s.svc.ServeSDK(w, r)
}
