// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package front

import (
	"log"
	"net/http"

	"github.com/vmware/govmomi/vim25/xml"

	"vforge.vsphere/simulator/internal/apiversion"
)

type versionNamespace struct {
	Name    string   `xml:"name"`
	Version string   `xml:"version"`
	Prior   []string `xml:"priorVersions>version"`
}

// serveVersions announces the API version and all earlier ones: clients such as
// pyVmomi walk down their own list until they meet one of these.
func (s *Front) serveVersions(w http.ResponseWriter, _ *http.Request) {
	doc := struct {
		XMLName   xml.Name           `xml:"namespaces"`
		Version   string             `xml:"version,attr"`
		Namespace []versionNamespace `xml:"namespace"`
	}{
		Version:   "1.0",
		Namespace: []versionNamespace{{Name: "urn:vim25", Version: s.Cfg.APIVersion, Prior: apiversion.Prior(s.Cfg.APIVersion)}},
	}
	text, err := xml.MarshalIndent(doc, "", "  ")
	if err != nil {
		log.Printf("vforge-sim: %v", err)
		http.Error(w, "cannot encode", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	if _, err := w.Write(append([]byte(xml.Header), text...)); err != nil {
		log.Printf("vforge-sim: %v", err)
	}
}
