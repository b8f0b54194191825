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

// shimBase is the base of the shims that need all of the simulator.
type shimBase struct {
	shim.Base
	s *Sim
}

func (s *Sim) shimFor(kind string) shimBase { return shimBase{shim.NewBase(kind), s} }

// installShims registers the shims and hooks them into vcsim's dispatch.
func (s *Sim) installShims() {
	s.shims = map[string]shim.Shim{
		"VirtualMachine":               &vmShim{s.shimFor("VirtualMachine")},
		"Folder":                       &folderShim{s.shimFor("Folder")},
		"ResourcePool":                 &poolShim{s.shimFor("ResourcePool")},
		"VirtualApp":                   &poolShim{s.shimFor("VirtualApp")},
		"SessionManager":               &sessionShim{s.shimFor("SessionManager")},
		"Task":                         &taskShim{s.shimFor("Task")},
		"ViewManager":                  &viewShim{s.shimFor("ViewManager")},
		"SearchIndex":                  &searchShim{s.shimFor("SearchIndex")},
		"PropertyCollector":            s.props.CollectorShim(),
		"PropertyFilter":               s.props.FilterShim(),
		"VcenterVStorageObjectManager": &fcdShim{s.shimFor("VcenterVStorageObjectManager")},
		"VirtualMachineSnapshot":       &snapshotShim{s.shimFor("VirtualMachineSnapshot")},
	}
	s.shims["FileManager"] = &fileShim{s.shimFor("FileManager")}
	s.shims["DatastoreNamespaceManager"] = &namespaceShim{s.shimFor("DatastoreNamespaceManager")}
	s.shims["Datastore"] = &datastoreShim{s.shimFor("Datastore")}
	s.shims["HostDatastoreBrowser"] = &browserShim{s.shimFor("HostDatastoreBrowser")}
	s.shims["VirtualDiskManager"] = &diskShim{s.shimFor("VirtualDiskManager")}
	s.shims["HttpNfcLease"] = &leaseShim{s.shimFor("HttpNfcLease")}
	s.shims["AuthorizationManager"] = &authorizationShim{s.shimFor("AuthorizationManager")}
	s.shims["OvfManager"] = &ovfShim{s.shimFor("OvfManager")}
	s.shims["VirtualMachineProvisioningChecker"] = &checkerShim{s.shimFor("VirtualMachineProvisioningChecker")}
	s.shims["GuestAuthManager"] = &guestAuthShim{s.shimFor("GuestAuthManager")}
	s.shims["GuestFileManager"] = &guestFileShim{s.shimFor("GuestFileManager")}
	s.shims["GuestProcessManager"] = &guestProcessShim{s.shimFor("GuestProcessManager")}
	s.shims["VirtualMachineGuestCustomizationManager"] = &customizationShim{s.shimFor("VirtualMachineGuestCustomizationManager")}
	s.shims["ClusterComputeResource"] = &clusterShim{s.shimFor("ClusterComputeResource")}
	s.shims["ClusterEVCManager"] = &evcShim{s.shimFor("ClusterEVCManager")}
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
