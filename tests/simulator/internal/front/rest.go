// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package front

import (
	"net/http"
	"regexp"

	"github.com/vmware/govmomi/vapi/rest"
	vapi "github.com/vmware/govmomi/vapi/simulator"
)

// restSession is where a client of the REST API logs in and out.
const restSession = rest.Path + "/com/vmware/cis/session"

// restID is the part of a path that names one object.
var restID = regexp.MustCompile(`/id:[^/]*`)

// serveREST is vcsim's own REST API, of which tags and categories are used here, for our users only. Its calls are
// counted as "REST GET /com/vmware/cis/tagging/tag/id".
func (s *Front) serveREST() http.Handler {
	_, known := vapi.New(s.Service.Listen, s.Reg)
	s.Service.Handle(rest.Path+"/", known) // so that the SOAP calls about tags of first class disks find them
	name := func(r *http.Request) string {
		return "REST " + r.Method + " " + restID.ReplaceAllString(r.URL.Path[len(rest.Path):], "/id")
	}
	return s.ruled(name, &s.Calls, func(w http.ResponseWriter, r *http.Request) {
		// vcsim logs everybody in: the check that it has was given to the SOAP sessions here.
		if r.URL.Path == restSession && r.Method == http.MethodPost && r.URL.RawQuery == "" {
			name, password, ok := r.BasicAuth()
			if !ok || s.Auth.Refuse(name, password) != "" {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
		}
		known.ServeHTTP(w, r)
	})
}
