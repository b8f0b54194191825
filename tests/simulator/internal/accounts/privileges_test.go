// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package accounts

import (
	"slices"
	"strings"
	"testing"
)

// reference has the privilege that pyVmomi 9.1's types name for a method, empty where it depends on what is asked.
var reference = map[string]string{
	"AuthorizationManager.AddAuthorizationRole":                   "Authorization.ModifyRoles",
	"AuthorizationManager.HasPrivilegeOnEntities":                 "System.View",
	"AuthorizationManager.RemoveAuthorizationRole":                "Authorization.ModifyRoles",
	"AuthorizationManager.UpdateAuthorizationRole":                "Authorization.ModifyRoles",
	"ClusterComputeResource.EvcManager":                           "System.Read",
	"ClusterEVCManager.CheckConfigureEvcMode_Task":                "System.View",
	"ClusterEVCManager.ConfigureEvcMode_Task":                     "Host.Inventory.EditCluster",
	"ClusterEVCManager.DisableEvcMode_Task":                       "Host.Inventory.EditCluster",
	"Datastore.RefreshDatastore":                                  "System.Read",
	"DatastoreNamespaceManager.ConvertNamespacePathToUuidPath":    "System.View",
	"DatastoreNamespaceManager.CreateDirectory":                   "",
	"EventManager.PostEvent":                                      "Global.LogEvent",
	"EventManager.QueryEvents":                                    "System.View",
	"FileManager.DeleteDatastoreFile_Task":                        "",
	"FileManager.MakeDirectory":                                   "",
	"Folder.CreateFolder":                                         "Folder.Create",
	"Folder.CreateVM_Task":                                        "VirtualMachine.Inventory.Create",
	"Folder.RegisterVM_Task":                                      "VirtualMachine.Inventory.Register",
	"GuestProcessManager.StartProgramInGuest":                     "",
	"HostDatastoreBrowser.SearchDatastore_Task":                   "",
	"HostSystem.EnterMaintenanceMode_Task":                        "Host.Config.Maintenance",
	"HostSystem.ExitMaintenanceMode_Task":                         "Host.Config.Maintenance",
	"OvfManager.CreateDescriptor":                                 "System.View",
	"OvfManager.CreateImportSpec":                                 "System.View",
	"ResourcePool.CreateResourcePool":                             "Resource.CreatePool",
	"ResourcePool.ImportVApp":                                     "VApp.Import",
	"SearchIndex.FindAllByUuid":                                   "System.View",
	"SearchIndex.FindByInventoryPath":                             "System.View",
	"SearchIndex.FindChild":                                       "System.View",
	"ServiceInstance.CurrentTime":                                 "System.View",
	"SessionManager.ImpersonateUser":                              "Sessions.ImpersonateUser",
	"SessionManager.TerminateSession":                             "Sessions.TerminateSession",
	"VcenterVStorageObjectManager.CreateDisk_Task":                "System.View",
	"VcenterVStorageObjectManager.DeleteVStorageObject_Task":      "System.View",
	"VirtualDiskManager.CopyVirtualDisk_Task":                     "System.View",
	"VirtualDiskManager.CreateVirtualDisk_Task":                   "System.View",
	"VirtualDiskManager.DeleteVirtualDisk_Task":                   "System.View",
	"VirtualMachine.ApplyEvcModeVM_Task":                          "VirtualMachine.Config.Settings",
	"VirtualMachine.AttachDisk_Task":                              "VirtualMachine.Config.AddExistingDisk",
	"VirtualMachine.CloneVM_Task":                                 "",
	"VirtualMachine.ConsolidateVMDisks_Task":                      "VirtualMachine.State.RemoveSnapshot",
	"VirtualMachine.CreateSnapshot_Task":                          "VirtualMachine.State.CreateSnapshot",
	"VirtualMachine.CustomizeVM_Task":                             "VirtualMachine.Provisioning.Customize",
	"VirtualMachine.DetachDisk_Task":                              "VirtualMachine.Config.RemoveDisk",
	"VirtualMachine.ExportVm":                                     "VApp.Export",
	"VirtualMachine.InstantClone_Task":                            "VirtualMachine.Provisioning.Clone",
	"VirtualMachine.MarkAsTemplate":                               "VirtualMachine.Provisioning.MarkAsTemplate",
	"VirtualMachine.MarkAsVirtualMachine":                         "VirtualMachine.Provisioning.MarkAsVM",
	"VirtualMachine.PowerOffVM_Task":                              "VirtualMachine.Interact.PowerOff",
	"VirtualMachine.PowerOnVM_Task":                               "VirtualMachine.Interact.PowerOn",
	"VirtualMachine.QueryChangedDiskAreas":                        "VirtualMachine.Provisioning.DiskRandomRead",
	"VirtualMachine.RebootGuest":                                  "VirtualMachine.Interact.Reset",
	"VirtualMachine.ReconfigVM_Task":                              "",
	"VirtualMachine.RefreshStorageInfo":                           "System.Read",
	"VirtualMachine.RelocateVM_Task":                              "Resource.ColdMigrate",
	"VirtualMachine.RemoveAllSnapshots_Task":                      "VirtualMachine.State.RemoveSnapshot",
	"VirtualMachine.ResetVM_Task":                                 "VirtualMachine.Interact.Reset",
	"VirtualMachine.RevertToCurrentSnapshot_Task":                 "VirtualMachine.State.RevertToSnapshot",
	"VirtualMachine.ShutdownGuest":                                "VirtualMachine.Interact.PowerOff",
	"VirtualMachine.StandbyGuest":                                 "VirtualMachine.Interact.Suspend",
	"VirtualMachine.SuspendVM_Task":                               "VirtualMachine.Interact.Suspend",
	"VirtualMachine.UnregisterVM":                                 "VirtualMachine.Inventory.Unregister",
	"VirtualMachine.UpgradeVM_Task":                               "VirtualMachine.Config.UpgradeVirtualHardware",
	"VirtualMachineGuestCustomizationManager.CustomizeGuest_Task": "VirtualMachine.Provisioning.Customize",
	"VirtualMachineProvisioningChecker.CheckInstantClone_Task":    "System.View",
	"VirtualMachineSnapshot.ExportSnapshot":                       "VApp.Export",
	"VirtualMachineSnapshot.RemoveSnapshot_Task":                  "VirtualMachine.State.RemoveSnapshot",
	"VirtualMachineSnapshot.RenameSnapshot":                       "VirtualMachine.State.RenameSnapshot",
	"VirtualMachineSnapshot.RevertToSnapshot_Task":                "VirtualMachine.State.RevertToSnapshot",
}

// elsewhere are the methods that need their privilege not on the object that they are called on, or by what is asked: their
// shims check it, each with a test.
var elsewhere = map[string]string{
	"ClusterEVCManager.ConfigureEvcMode_Task":                     "the cluster",
	"ClusterEVCManager.DisableEvcMode_Task":                       "the cluster",
	"VirtualMachineGuestCustomizationManager.CustomizeGuest_Task": "the VM",
	"VirtualMachineSnapshot.ExportSnapshot":                       "the VM",
	"VirtualMachine.RelocateVM_Task":                              "the VM, by its power state",
}

func TestEveryCallNeedsWhatTheReferenceSays(t *testing.T) {
	for method, privilege := range reference {
		kind, name, _ := strings.Cut(method, ".")
		needed := MethodPrivileges(kind, name)
		looks := privilege == "" || strings.HasPrefix(privilege, "System.")
		switch where := elsewhere[method]; {
		case looks || where != "":
			if len(needed) != 0 {
				t.Errorf("%s needs %v, and is to need %q", method, needed, privilege)
			}
		case !slices.Contains(needed, privilege):
			t.Errorf("%s needs %v, and is to need %s", method, needed, privilege)
		}
	}
}
