// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vmforkapi

import (
	"reflect"

	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// The types of VMFork, which no SDK has: vSphere 6.0 and 6.5 take them in the namespace
// urn:vim25 all the same.

// VirtualMachineCreateChildSpec says where a child goes and of which kind it is.
type VirtualMachineCreateChildSpec struct {
	types.DynamicData

	Location     *types.VirtualMachineRelocateSpec `xml:"location,omitempty"`
	Persistent   bool                              `xml:"persistent"`
	ConfigParams []types.BaseOptionValue           `xml:"configParams,omitempty,typeattr"`
}

// ForkRequest is a call without parameters.
type ForkRequest struct {
	This types.ManagedObjectReference `xml:"_this"`
}

// The calls of VMFork.
type (
	EnableForkParentRequest     ForkRequest
	DisableForkParentRequest    ForkRequest
	RetrieveForkChildrenRequest ForkRequest
	RetrieveForkParentRequest   ForkRequest
)

// CreateForkChildRequest is CreateForkChild_Task.
type CreateForkChildRequest struct {
	This types.ManagedObjectReference  `xml:"_this"`
	Name string                        `xml:"name"`
	Spec VirtualMachineCreateChildSpec `xml:"spec"`
}

// ForkResponse answers any of them with its task.
type ForkResponse struct {
	Returnval types.ManagedObjectReference `xml:"returnval"`
}

// The answers; vcsim names the element after the type.
type (
	EnableForkParent_TaskResponse     ForkResponse
	DisableForkParent_TaskResponse    ForkResponse
	CreateForkChild_TaskResponse      ForkResponse
	RetrieveForkChildren_TaskResponse ForkResponse
	RetrieveForkParent_TaskResponse   ForkResponse
)

// The bodies of the answers.
type (
	EnableForkParentBody struct {
		Res    *EnableForkParent_TaskResponse `xml:"urn:vim25 EnableForkParent_TaskResponse,omitempty"`
		Fault_ *soap.Fault                    `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
	}
	DisableForkParentBody struct {
		Res    *DisableForkParent_TaskResponse `xml:"urn:vim25 DisableForkParent_TaskResponse,omitempty"`
		Fault_ *soap.Fault                     `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
	}
	CreateForkChildBody struct {
		Res    *CreateForkChild_TaskResponse `xml:"urn:vim25 CreateForkChild_TaskResponse,omitempty"`
		Fault_ *soap.Fault                   `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
	}
	RetrieveForkChildrenBody struct {
		Res    *RetrieveForkChildren_TaskResponse `xml:"urn:vim25 RetrieveForkChildren_TaskResponse,omitempty"`
		Fault_ *soap.Fault                        `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
	}
	RetrieveForkParentBody struct {
		Res    *RetrieveForkParent_TaskResponse `xml:"urn:vim25 RetrieveForkParent_TaskResponse,omitempty"`
		Fault_ *soap.Fault                      `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
	}
)

// Fault returns the fault of an answer.
func (b *EnableForkParentBody) Fault() *soap.Fault { return b.Fault_ }

// Fault returns the fault of an answer.
func (b *DisableForkParentBody) Fault() *soap.Fault { return b.Fault_ }

// Fault returns the fault of an answer.
func (b *CreateForkChildBody) Fault() *soap.Fault { return b.Fault_ }

// Fault returns the fault of an answer.
func (b *RetrieveForkChildrenBody) Fault() *soap.Fault { return b.Fault_ }

// Fault returns the fault of an answer.
func (b *RetrieveForkParentBody) Fault() *soap.Fault { return b.Fault_ }

// ForkRequests are the calls, by their names on the wire.
var ForkRequests = map[string]reflect.Type{
	"EnableForkParent_Task":     reflect.TypeFor[EnableForkParentRequest](),
	"DisableForkParent_Task":    reflect.TypeFor[DisableForkParentRequest](),
	"CreateForkChild_Task":      reflect.TypeFor[CreateForkChildRequest](),
	"RetrieveForkChildren_Task": reflect.TypeFor[RetrieveForkChildrenRequest](),
	"RetrieveForkParent_Task":   reflect.TypeFor[RetrieveForkParentRequest](),
}

func init() {
	for name, kind := range ForkRequests {
		types.Add(name, kind)
	}
	types.Add("VirtualMachineCreateChildSpec", reflect.TypeFor[VirtualMachineCreateChildSpec]())
}
