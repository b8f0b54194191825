// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vhardware"
)

// maxRealFiles is how many plain VMs get real files.
const maxRealFiles = 500

// parentName is the ready instant-clone parent; further ones are numbered from 2.
const parentName = "golden-parent"

// datastoreDir is the folder of the datastores.
func datastoreDir(stateDir string) string { return filepath.Join(stateDir, "datastores") }

// building is held while vcsim builds an inventory: it fills in templates that the
// whole process shares.
var building sync.Mutex

// newService has vcsim build datacenters, clusters, hosts, pools and networks. The
// datastores are made here, as vcsim's would lie in the system's temporary
// directory; VMs are added afterwards, directly.
func newService(cfg settings.Config) (*simulator.Service, error) {
	m := simulator.VPX()
	m.Datacenter, m.Cluster, m.ClusterHost, m.Host = cfg.Datacenters, cfg.Clusters, cfg.Hosts, 0
	m.Pool, m.Datastore, m.Portgroup, m.Machine = cfg.Pools, 0, cfg.Portgroups, 0
	about := &m.ServiceContent.About
	about.ApiVersion = cfg.APIVersion
	about.Version = apiversion.Product(cfg.APIVersion)
	about.Build = "24022515"
	about.FullName = fmt.Sprintf("%s %s build-%s", about.Name, about.Version, about.Build)
	about.LicenseProductVersion = about.Version

	building.Lock()
	defer building.Unlock()
	ctx := simulator.NewContext()
	m.Service = simulator.New(simulator.NewServiceInstance(ctx, m.ServiceContent, m.RootFolder))
	if err := createInfrastructure(ctx, m); err != nil {
		return nil, err
	}
	return m.Service, addDatastores(ctx, cfg)
}

// createInfrastructure has vcsim make what the model says. vcsim copies the configuration of each host by XML, which was
// half of a start; what it does not look at meanwhile is given to the hosts afterwards. Their certificates they get
// anyhow: see giveHostsCertificates.
func createInfrastructure(ctx *simulator.Context, m *simulator.Model) error {
	template := esx.HostSystem.Config
	whole := *template
	defer func() { *template = whole }()
	template.Certificate, template.Firewall, template.Service = nil, nil, nil
	template.StorageDevice, template.VirtualNicManagerInfo = nil, nil
	if err := m.CreateInfrastructure(ctx); err != nil {
		return err
	}
	for _, e := range ctx.Map.All("HostSystem") {
		config := e.(*simulator.HostSystem).Config
		config.Firewall, config.Service = deepcopy.Of(whole.Firewall), deepcopy.Of(whole.Service)
		config.StorageDevice = deepcopy.Of(whole.StorageDevice)
		config.VirtualNicManagerInfo = deepcopy.Of(whole.VirtualNicManagerInfo)
	}
	return nil
}

// addDatastores gives every host of a datacenter that datacenter's datastores.
func addDatastores(ctx *simulator.Context, cfg settings.Config) error {
	root := datastoreDir(cfg.StateDir)
	if err := os.RemoveAll(root); err != nil { // of a simulator that was killed here
		return err
	}
	options := ctx.Map.OptionManager()
	options.Setting = append(options.Setting, &types.OptionValue{Key: "vcsim.home", Value: root})
	for _, e := range ctx.Map.All("HostSystem") {
		host := e.(*simulator.HostSystem)
		dc := datacenterName(ctx, host)
		dss := ctx.Map.Get(*host.ConfigManager.DatastoreSystem).(*simulator.HostDatastoreSystem)
		for i := range cfg.Datastores {
			name := fmt.Sprintf("LocalDS_%d", i)
			dir := filepath.Join(root, dc, name)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			res := dss.CreateLocalDatastore(ctx, &types.CreateLocalDatastore{This: dss.Self, Name: name, Path: dir})
			if f := res.Fault(); f != nil {
				return fmt.Errorf("datastore %s: %s", name, f.String)
			}
		}
	}
	for _, e := range ctx.Map.All("Datastore") {
		ds := e.(*simulator.Datastore)
		ds.Summary.Type = string(types.HostFileSystemVolumeFileSystemTypeVMFS)
		ds.Summary.MultipleHostAccess = types.NewBool(true)
	}
	return nil
}

func datacenterName(ctx *simulator.Context, e mo.Entity) string {
	for e.Reference().Type != "Datacenter" {
		e = ctx.Map.Get(*e.Entity().Parent).(mo.Entity)
	}
	return e.Entity().Name
}

// site is one datacenter, in the order in which VMs are spread over it.
type site struct {
	dc         *simulator.Datacenter
	folders    []types.ManagedObjectReference // the VM folder, then the ones below it
	clusters   []*simulator.ClusterComputeResource
	pools      [][]types.ManagedObjectReference // by cluster: the named ones, or Resources
	datastores []*simulator.Datastore
	networks   []lookup.Network // port groups first, then "VM Network"
}

// populate adds folders, parents and plain VMs.
func (s *Sim) populate() error {
	sites, err := s.sites()
	if err != nil {
		return err
	}
	s.layoutSites = sites
	for i := range s.cfg.Parents {
		name := parentName
		if i > 0 {
			name = fmt.Sprintf("%s-%d", parentName, i+1)
		}
		spec := s.spread(sites[i%len(sites)], i/len(sites), name)
		spec.folder = sites[i%len(sites)].folders[0]
		spec.datastore, spec.networks = sites[i%len(sites)].datastores[0], sites[i%len(sites)].networks[:1]
		spec.on = true
		if err := s.addRunning(spec); err != nil {
			return err
		}
	}
	for i := range s.cfg.VMs {
		spec := s.spread(sites[i%len(sites)], i/len(sites), fmt.Sprintf("server-%05d", i+1))
		spec.on, spec.listed = i%2 == 0, s.cfg.VMs > maxRealFiles
		if err := s.addRunning(spec); err != nil {
			return err
		}
	}
	return nil
}

// spread places the i-th VM of a site: hosts, pools, folders, datastores and
// networks are each taken in turn.
func (s *Sim) spread(st *site, i int, name string) vmSpec {
	c := i % len(st.clusters)
	hosts, pools := st.clusters[c].Host, st.pools[c]
	k := i / len(st.clusters)
	return vmSpec{
		name:      naming.Escape(name),
		folder:    st.folders[i%len(st.folders)],
		host:      hosts[k%len(hosts)],
		pool:      pools[k%len(pools)],
		datastore: st.datastores[i%len(st.datastores)],
		networks:  st.networks[i%len(st.networks) : i%len(st.networks)+1],
		memoryMB:  2048,
		cpus:      2,
		disks:     []vhardware.DiskSpec{{Bytes: 10 * gib}},
	}
}

// addRunning adds a VM whose guest, if it is on, has been up for long: it reports
// at once.
func (s *Sim) addRunning(spec vmSpec) error {
	vm, err := s.addVM(s.background(""), spec)
	if err == nil && spec.on {
		s.reportGuest(vm.Self, 0)
	}
	return err
}

// sites reads back what vcsim's model built and adds the VM folders.
func (s *Sim) sites() ([]*site, error) {
	var out []*site
	dcs := s.reg.All("Datacenter")
	sort.Slice(dcs, func(i, j int) bool { return dcs[i].Entity().Name < dcs[j].Entity().Name })
	for _, e := range dcs {
		dc := e.(*simulator.Datacenter)
		st := &site{dc: dc, folders: []types.ManagedObjectReference{dc.VmFolder}}
		if err := s.addFolders(st); err != nil {
			return nil, err
		}
		for _, ref := range dc.Datastore {
			st.datastores = append(st.datastores, s.reg.Get(ref).(*simulator.Datastore))
		}
		for _, ref := range dc.Network {
			if net, ok := s.NetworkByRef(ref); ok && !strings.Contains(net.Name, "DVUplinks") {
				st.networks = append(st.networks, net)
			}
		}
		sort.Slice(st.networks, func(i, j int) bool {
			a, b := st.networks[i], st.networks[j]
			if (a.Portgroup == "") != (b.Portgroup == "") {
				return a.Portgroup != ""
			}
			return a.Name < b.Name
		})
		for _, ref := range s.reg.Get(dc.HostFolder).(*simulator.Folder).ChildEntity {
			c := s.reg.Get(ref).(*simulator.ClusterComputeResource)
			s.setDRS(c, string(types.DrsBehaviorPartiallyAutomated))
			st.clusters = append(st.clusters, c)
			st.pools = append(st.pools, s.poolsOf(c))
		}
		out = append(out, st)
	}
	return out, nil
}

func (s *Sim) poolsOf(c *simulator.ClusterComputeResource) []types.ManagedObjectReference {
	root := s.reg.Get(*c.ResourcePool).(*simulator.ResourcePool)
	if len(root.ResourcePool.ResourcePool) > 0 {
		return root.ResourcePool.ResourcePool
	}
	return []types.ManagedObjectReference{root.Self}
}

func (s *Sim) addFolders(st *site) error {
	root := s.reg.Get(st.dc.VmFolder).(*simulator.Folder)
	for i := range s.cfg.Folders {
		name := fmt.Sprintf("%s_F%d", st.dc.Name, i)
		res := root.CreateFolder(s.background(""), &types.CreateFolder{This: root.Self, Name: name})
		if f := res.Fault(); f != nil {
			return fmt.Errorf("folder %s: %s", name, f.String)
		}
		st.folders = append(st.folders, res.(*methods.CreateFolderBody).Res.Returnval)
	}
	return nil
}

// entityPath is the inventory path of an entity: the names from below the root
// folder down.
func (s *Sim) entityPath(ref types.ManagedObjectReference) string {
	var names []string
	for {
		e, ok := s.reg.Get(ref).(mo.Entity)
		if !ok || e.Entity().Parent == nil {
			break
		}
		names = append([]string{e.Entity().Name}, names...)
		ref = *e.Entity().Parent
	}
	return "/" + strings.Join(names, "/")
}

// entities finds those of a kind by inventory path, managed object id or name.
func (s *Sim) entities(kind, name string) []mo.Entity {
	if e, ok := s.reg.Get(types.ManagedObjectReference{Type: kind, Value: name}).(mo.Entity); ok {
		return []mo.Entity{e}
	}
	var found []mo.Entity
	for _, e := range s.reg.All(kind) {
		if strings.HasPrefix(name, "/") && s.entityPath(e.Reference()) == name || e.Entity().Name == name {
			found = append(found, e)
		}
	}
	return found
}
