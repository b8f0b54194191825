package sim

import (
	"github.com/vmware/govmomi/simulator"
)

func (s *Sim) quiesceForkParent(*simulator.Context, *simulator.VirtualMachine) error {
	return errUnknownCommand
}
