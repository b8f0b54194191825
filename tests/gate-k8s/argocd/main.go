// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command argocd runs one of those parts of Argo CD that the lane needs, as its first argument says.
//
// The commands are Argo CD's own, unmodified. Its own program has all of them, with the clients of every cloud and every chat, which
// takes a quarter longer to build. The cache, which is Redis in a cluster, is miniredis here, as in Argo CD's own tests.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	"github.com/spf13/cobra"
)

const tick = time.Second

// cache is a command that answers as Redis on an address until it is ended.
func cache() *cobra.Command {
	return &cobra.Command{
		Use:  "cache ADDRESS",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			over, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			server := miniredis.NewMiniRedis()
			if err := server.StartAddr(arguments[0]); err != nil {
				return fmt.Errorf("listen on %s: %w", arguments[0], err)
			}
			defer server.Close()
			// Its time stands still by itself: without this nothing that is cached would ever expire.
			for clock := time.NewTicker(tick); ; {
				select {
				case <-over.Done():
					return nil
				case <-clock.C:
					server.FastForward(tick)
				}
			}
		},
	}
}

func main() {
	part := &cobra.Command{Use: "argocd", SilenceUsage: true}
	part.AddCommand(controller.NewCommand(), reposerver.NewCommand(), cache())
	if err := part.Execute(); err != nil {
		os.Exit(1)
	}
}
