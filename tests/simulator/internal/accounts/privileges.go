// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package accounts

import (
	"strings"

	"vforge.vsphere/simulator/internal/apiversion"
)

// MethodSince is the API version that brought a method in.
var MethodSince = map[string]string{
	"InstantClone_Task":             apiversion.InstantCloneSince,
	"CheckInstantClone_Task":        apiversion.InstantCloneSince,
	"HttpNfcLeasePullFromUrls_Task": apiversion.PullSince,
	"CustomizeGuest_Task":           apiversion.GuestCustomizationSince,
	"StartGuestNetwork_Task":        apiversion.GuestCustomizationSince,
	"AbortCustomization_Task":       apiversion.GuestCustomizationSince,
	"ApplyEvcModeVM_Task":           apiversion.PerVMEVCSince,
}

// VMPrivileges are the privileges that a method needs on the VM that it is called
// on, as the API reference lists them.
var VMPrivileges = map[string][]string{
	"InstantClone_Task":            {"VirtualMachine.Provisioning.Clone", "VirtualMachine.Interact.PowerOn"},
	"CloneVM_Task":                 {}, // depends on which of the two is a template: see vmCloneDenied
	"PowerOnVM_Task":               {"VirtualMachine.Interact.PowerOn"},
	"PowerOffVM_Task":              {"VirtualMachine.Interact.PowerOff"},
	"ShutdownGuest":                {"VirtualMachine.Interact.PowerOff"},
	"StandbyGuest":                 {"VirtualMachine.Interact.Suspend"},
	"RebootGuest":                  {"VirtualMachine.Interact.Reset"},
	"ResetVM_Task":                 {"VirtualMachine.Interact.Reset"},
	"SuspendVM_Task":               {"VirtualMachine.Interact.Suspend"},
	"Destroy_Task":                 {"VirtualMachine.Inventory.Delete"},
	"UnregisterVM":                 {"VirtualMachine.Inventory.Unregister"},
	"Rename_Task":                  {"VirtualMachine.Config.Rename"},
	"MarkAsTemplate":               {"VirtualMachine.Provisioning.MarkAsTemplate"},
	"MarkAsVirtualMachine":         {"VirtualMachine.Provisioning.MarkAsVM"},
	"CreateSnapshot_Task":          {"VirtualMachine.State.CreateSnapshot"},
	"CreateSnapshotEx_Task":        {"VirtualMachine.State.CreateSnapshot"},
	"RemoveAllSnapshots_Task":      {"VirtualMachine.State.RemoveSnapshot"},
	"ConsolidateVMDisks_Task":      {"VirtualMachine.State.RemoveSnapshot"},
	"QueryChangedDiskAreas":        {"VirtualMachine.Provisioning.DiskRandomRead"},
	"RevertToCurrentSnapshot_Task": {"VirtualMachine.State.RevertToSnapshot"},
	"RelocateVM_Task":              {}, // depends on the power state: see relocateDenied
	"MigrateVM_Task":               {"Resource.HotMigrate"},
	"EnableForkParent_Task":        {"VirtualMachine.Config.ToggleForkParent"},
	"DisableForkParent_Task":       {"VirtualMachine.Config.ToggleForkParent"},
	"CreateForkChild_Task":         {"VirtualMachine.Provisioning.Clone"},
	"CustomizeVM_Task":             {"VirtualMachine.Provisioning.Customize"},
	"AttachDisk_Task":              {"VirtualMachine.Config.AddExistingDisk"},
	"DetachDisk_Task":              {"VirtualMachine.Config.RemoveDisk"},
	"UpgradeVM_Task":               {"VirtualMachine.Config.UpgradeVirtualHardware"},
	"ExportVm":                     {"VApp.Export"},
	"ApplyEvcModeVM_Task":          {"VirtualMachine.Config.Settings"},
}

// otherPrivileges are those of methods on other kinds of objects.
var otherPrivileges = map[string][]string{
	"ClusterComputeResource.EvcManager":         {},
	"ClusterEVCManager.ConfigureEvcMode_Task":   {}, // needs it on the cluster: see evcShim
	"ClusterEVCManager.DisableEvcMode_Task":     {},
	"Folder.CreateFolder":                       {"Folder.Create"},
	"Folder.CreateVM_Task":                      {"VirtualMachine.Inventory.Create"},
	"Folder.RegisterVM_Task":                    {"VirtualMachine.Inventory.Register"},
	"Folder.MoveIntoFolder_Task":                {"Folder.Move"},
	"Folder.Destroy_Task":                       {"Folder.Delete"},
	"Folder.Rename_Task":                        {"Folder.Rename"},
	"ResourcePool.MoveIntoResourcePool":         {"Resource.AssignVMToPool"},
	"ResourcePool.CreateResourcePool":           {"Resource.CreatePool"},
	"ResourcePool.Destroy_Task":                 {"Resource.DeletePool"},
	"ResourcePool.UpdateConfig":                 {"Resource.EditPool"},
	"FileManager.DeleteDatastoreFile_Task":      {}, // needs it on the datastore: see fileShim
	"FileManager.MoveDatastoreFile_Task":        {},
	"FileManager.MakeDirectory":                 {},
	"DatastoreNamespaceManager.CreateDirectory": {}, // need it on the datastore: see namespaceShim
	"DatastoreNamespaceManager.DeleteDirectory": {},

	"DatastoreNamespaceManager.ConvertNamespacePathToUuidPath": {},

	"VirtualDiskManager.CreateVirtualDisk_Task":    {}, // they need it on the datastore: see diskShim
	"VirtualDiskManager.DeleteVirtualDisk_Task":    {},
	"VirtualDiskManager.CopyVirtualDisk_Task":      {},
	"VirtualDiskManager.MoveVirtualDisk_Task":      {},
	"VirtualDiskManager.ExtendVirtualDisk_Task":    {},
	"VirtualDiskManager.InflateVirtualDisk_Task":   {},
	"VirtualDiskManager.SetVirtualDiskUuid":        {},
	"ResourcePool.ImportVApp":                      {"VApp.Import"},
	"HostSystem.EnterMaintenanceMode_Task":         {"Host.Config.Maintenance"},
	"HostSystem.ExitMaintenanceMode_Task":          {"Host.Config.Maintenance"},
	"VirtualMachineSnapshot.RemoveSnapshot_Task":   {"VirtualMachine.State.RemoveSnapshot"},
	"VirtualMachineSnapshot.RevertToSnapshot_Task": {"VirtualMachine.State.RevertToSnapshot"},
	"VirtualMachineSnapshot.ExportSnapshot":        {}, // needs it on the VM: see snapshotShim
	"VirtualMachineSnapshot.RenameSnapshot":        {"VirtualMachine.State.RenameSnapshot"},
	"AuthorizationManager.AddAuthorizationRole":    {"Authorization.ModifyRoles"},
	"AuthorizationManager.UpdateAuthorizationRole": {"Authorization.ModifyRoles"},
	"AuthorizationManager.RemoveAuthorizationRole": {"Authorization.ModifyRoles"},
	"AuthorizationManager.SetEntityPermissions":    {}, // needed on the entity: see authorizationShim
	"AuthorizationManager.RemoveEntityPermission":  {},
	"SessionManager.TerminateSession":              {"Sessions.TerminateSession"},
	"SessionManager.ImpersonateUser":               {"Sessions.ImpersonateUser"},
	"EventManager.PostEvent":                       {"Global.LogEvent"},
}

// readers are the beginnings of the names of methods that change nothing but the
// caller's own session.
var readers = []string{
	"Retrieve", "Find", "Query", "Fetch", "Read", "Check", "Wait", "Cancel", "Continue", "Current", "Login", "Logout",
	"Session", "AcquireCloneTicket", "CloneSession", "Has", "Browse", "Search", "Lookup", "Validate", "Refresh",
	"CreateFilter", "CreatePropertyCollector", "DestroyPropertyCollector", "DestroyPropertyFilter",
	"CreateContainerView", "CreateListView", "CreateInventoryView", "DestroyView", "ModifyListView", "ResetListView",
	"CreateCollectorFor", "DestroyCollector", "Rewind", "ResetCollector", "SetCollectorPageSize", "Reset",
	"HttpNfcLease", "ParseDescriptor", // a lease belongs to its session
	"CreateImportSpec", "CreateDescriptor", // what they need is needed on places and VMs
	"ReconfigVM_Task", // what it needs depends on what is changed: see reconfigPrivileges
}

// ChangesVM tells if a method of a VM needs the VM for itself.
func ChangesVM(method string) bool {
	_, listed := VMPrivileges[method]
	return listed || method == "ReconfigVM_Task"
}

// MethodPrivileges lists what a caller needs on the object of a call. A method that
// changes something and is not listed needs a privilege that only the administrator
// has: better to refuse too much than to accept what vCenter refuses.
func MethodPrivileges(kind, method string) []string {
	if guestManagers[kind] {
		return nil // what they need is needed on the VM: see enter
	}
	if kind == "VcenterVStorageObjectManager" {
		return nil // needed on the datastore: see fcdShim
	}
	if kind == "VirtualMachine" {
		if p, ok := VMPrivileges[method]; ok {
			return p
		}
	}
	if p, ok := otherPrivileges[kind+"."+method]; ok {
		return p
	}
	for _, r := range readers {
		if strings.HasPrefix(method, r) {
			return nil
		}
	}
	return []string{"Global.Settings"}
}

// guestManagers are the kinds of objects whose methods name their VM as an argument,
// so that their shim checks the privileges.
var guestManagers = map[string]bool{
	"GuestAuthManager": true, "GuestFileManager": true, "GuestProcessManager": true,
	"VirtualMachineGuestCustomizationManager": true,
}
