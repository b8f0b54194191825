// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
)

// installShims registers the shims and hooks them into vcsim's dispatch.
func (s *Sim) installShims() {
	s.shims = map[string]shim.Shim{
		"VirtualMachine":               &vmShim{shim.For("VirtualMachine", s)},
		"Folder":                       &folderShim{shim.For("Folder", s)},
		"ResourcePool":                 &poolShim{shim.For("ResourcePool", s)},
		"VirtualApp":                   &poolShim{shim.For("VirtualApp", s)},
		"SessionManager":               &sessionShim{shim.For("SessionManager", s)},
		"Task":                         &taskShim{shim.For("Task", s)},
		"ViewManager":                  &viewShim{shim.For("ViewManager", s)},
		"SearchIndex":                  &searchShim{shim.For("SearchIndex", s)},
		"PropertyCollector":            s.props.CollectorShim(),
		"PropertyFilter":               s.props.FilterShim(),
		"VcenterVStorageObjectManager": &fcdShim{shim.For("VcenterVStorageObjectManager", s)},
		"VirtualMachineSnapshot":       &snapshotShim{shim.For("VirtualMachineSnapshot", s)},
	}
	s.shims["FileManager"] = &fileShim{shim.For("FileManager", s)}
	s.shims["DatastoreNamespaceManager"] = &namespaceShim{shim.For("DatastoreNamespaceManager", s)}
	s.shims["Datastore"] = &datastoreShim{shim.For("Datastore", s)}
	s.shims["HostDatastoreBrowser"] = &browserShim{shim.For("HostDatastoreBrowser", s)}
	s.shims["VirtualDiskManager"] = &diskShim{shim.For("VirtualDiskManager", s)}
	s.shims["HttpNfcLease"] = &leaseShim{shim.For("HttpNfcLease", s)}
	s.shims["AuthorizationManager"] = &authorizationShim{shim.For("AuthorizationManager", s)}
	s.shims["OvfManager"] = &ovfShim{shim.For("OvfManager", s)}
	s.shims["VirtualMachineProvisioningChecker"] = &checkerShim{shim.For("VirtualMachineProvisioningChecker", s)}
	s.shims["GuestAuthManager"] = &guestAuthShim{shim.For("GuestAuthManager", s)}
	s.shims["GuestFileManager"] = &guestFileShim{shim.For("GuestFileManager", s)}
	s.shims["GuestProcessManager"] = &guestProcessShim{shim.For("GuestProcessManager", s)}
	s.shims["VirtualMachineGuestCustomizationManager"] = &customizationShim{shim.For("VirtualMachineGuestCustomizationManager", s)}
	s.shims["ClusterComputeResource"] = &clusterShim{shim.For("ClusterComputeResource", s)}
	s.shims["ClusterEVCManager"] = &evcShim{shim.For("ClusterEVCManager", s)}
	s.installGuestOperations()
	s.installGuestCustomization()
	for _, sh := range s.shims {
		s.reg.Put(sh)
	}
	if apiversion.Less(s.cfg.APIVersion, apiversion.FirstClassDisksSince) {
		s.reg.Get(vim25.ServiceInstance).(*simulator.ServiceInstance).Content.VStorageObjectManager = nil
	}
	s.reg.Handler = s.route
	s.reg.AddHandler(s.props.Hub)
	s.reg.AddHandler(s.index)
	s.reg.AddHandler(newCompleter())
}

// ownObjects are the kinds of objects that only their shim knows.
var ownObjects = map[string]bool{"PropertyCollector": true, "PropertyFilter": true}

// route is called by vcsim for every call before it looks for the method.
func (s *Sim) route(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	sh, ok := s.shims[method.This.Type]
	if !ok || !shim.HasMethod(sh, method.Name) {
		return nil, nil
	}
	if !ownObjects[method.This.Type] && s.reg.Get(method.This) == nil {
		return nil, nil // vcsim answers ManagedObjectNotFound
	}
	if s.coming(method.This) != nil {
		return nil, nil // it has no methods yet
	}
	if ctx.Session == nil && !openMethods[method.Name] {
		// The session has ended since the front let the call through. vcsim's own fault would
		// name the shim, whose type no client knows.
		return nil, faults.NotAuthenticated(method.This)
	}
	method.This = sh.Reference()
	return sh, nil
}
