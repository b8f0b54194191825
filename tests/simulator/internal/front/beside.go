// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package front

import (
	"bytes"
	"io"
	"net/http"

	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"

	"vforge.vsphere/simulator/internal/clock"
	"vforge.vsphere/simulator/internal/policies"
	"vforge.vsphere/simulator/internal/wire"
)

// serveBeside answers a call of a service beside that for VMs. Its session is that of the VM service, named in
// the SOAP header; who has none lacks a privilege.
func (s *Front) serveBeside(privilege string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.answerBeside(w, r, privilege) }
}

func (s *Front) answerBeside(w http.ResponseWriter, r *http.Request, privilege string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "request body: "+err.Error(), http.StatusBadRequest)
		return
	}
	call, err := wire.Parse(body)
	if err != nil {
		wire.WriteFault(w, &types.InvalidRequest{}, err.Error())
		return
	}
	s.Calls.Add(call.Method)
	clock.Sleep(r.Context(), s.Latencies.Of(call.Method))
	live := s.Sessions.Named(sessionInHeader(body))
	if live == nil {
		wire.WriteFault(w, &types.NotAuthenticated{NoPermission: types.NoPermission{
			Object: &call.This, PrivilegeId: privilege,
		}}, "")
		return
	}
	// What is of no policy needs nothing but a session, and so does the question where things are.
	fault := s.Auth.Denied(live.User, s.Content().RootFolder, privilege)
	if fault != nil && privilege != "System.View" && call.This.Type != "PbmServiceInstance" {
		wire.WriteFault(w, fault, "")
		return
	}
	r.Header.Set("Cookie", soap.SessionCookieName+"="+live.Key)
	r.Body = io.NopCloser(bytes.NewReader(body))
	policies.VcsimsOwn.RLock()
	defer policies.VcsimsOwn.RUnlock()
	s.Service.ServeSDK(w, r)
}

// sessionInHeader is the vcSessionCookie of a SOAP envelope.
func sessionInHeader(body []byte) string {
	var envelope struct {
		Header struct {
			Cookie string `xml:"vcSessionCookie"`
		} `xml:"Header"`
	}
	if xml.Unmarshal(body, &envelope) != nil {
		return ""
	}
	return envelope.Header.Cookie
}
