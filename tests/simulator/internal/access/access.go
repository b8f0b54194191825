// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package access

import (
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/shim"
)

// Access is who may come in, and what is seen then.
type Access struct{ *core.Core }

// Shims answer the calls on sessions, permissions, views and the search index.
func (s *Access) Shims() []shim.Shim {
	return []shim.Shim{
		&sessionShim{shim.For("SessionManager", s)},
		&authorizationShim{shim.For("AuthorizationManager", s)},
		&viewShim{shim.For("ViewManager", s)},
		&searchShim{shim.For("SearchIndex", s)},
	}
}
