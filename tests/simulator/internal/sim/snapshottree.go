// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"slices"

	"github.com/vmware/govmomi/vim25/types"
)

// snapshotNode is one snapshot in the tree that a VM shows.
type snapshotNode = types.VirtualMachineSnapshotTree

// snapshotsIn lists the snapshots of a tree, all branches of it.
func snapshotsIn(tree []snapshotNode) []types.ManagedObjectReference {
	var refs []types.ManagedObjectReference
	for _, node := range tree {
		refs = append(refs, node.Snapshot)
		refs = append(refs, snapshotsIn(node.ChildSnapshotList)...)
	}
	return refs
}

// snapshotPath lists the nodes from the root of a tree down to a snapshot; it is empty
// for one that is not there.
func snapshotPath(tree []snapshotNode, ref types.ManagedObjectReference) []snapshotNode {
	for _, node := range tree {
		if node.Snapshot == ref {
			return []snapshotNode{node}
		}
		if below := snapshotPath(node.ChildSnapshotList, ref); below != nil {
			return append([]snapshotNode{node}, below...)
		}
	}
	return nil
}

// editTree copies a tree with each node as edit makes it: the nodes that take its place.
// Trees are never changed in place, as clients are shown them without a copy.
func editTree(tree []snapshotNode, edit func(snapshotNode) []snapshotNode) []snapshotNode {
	var out []snapshotNode
	for _, node := range tree {
		node.ChildSnapshotList = editTree(node.ChildSnapshotList, edit)
		out = append(out, edit(node)...)
	}
	return out
}

// treeWith adds a node below a snapshot or, without one, as a root.
func treeWith(tree []snapshotNode, below *types.ManagedObjectReference, added snapshotNode) []snapshotNode {
	if below == nil {
		return append(slices.Clone(tree), added)
	}
	return editTree(tree, func(node snapshotNode) []snapshotNode {
		if node.Snapshot == *below {
			node.ChildSnapshotList = append(node.ChildSnapshotList, added)
		}
		return []snapshotNode{node}
	})
}

// treeWithout takes snapshots out of a tree; the children of one that goes rise to its
// place.
func treeWithout(tree []snapshotNode, gone map[types.ManagedObjectReference]bool) []snapshotNode {
	return editTree(tree, func(node snapshotNode) []snapshotNode {
		if gone[node.Snapshot] {
			return node.ChildSnapshotList
		}
		return []snapshotNode{node}
	})
}
