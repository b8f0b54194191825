// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package datastores

import (
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/tasks"
)

// Datastores are the datastores with their files.
type Datastores struct {
	*core.Core
	Tasks *tasks.Tasks
	// Sent are the files that clients have sent.
	Sent       sentFiles
	namespaces namespaces
	limits     spaceTable
}

// Shims answer the calls on files, directories, datastores and their browsers.
func (s *Datastores) Shims() []shim.Shim {
	return []shim.Shim{
		&fileShim{shim.For("FileManager", s)},
		&namespaceShim{shim.For("DatastoreNamespaceManager", s)},
		&datastoreShim{shim.For("Datastore", s)},
		&browserShim{shim.For("HostDatastoreBrowser", s)},
	}
}
