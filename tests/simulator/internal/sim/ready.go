// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"vforge.vsphere/simulator/internal/guests"
)

// readyFile is what ready.json holds.
type readyFile struct {
	URL               string `json:"url"`
	Host              string `json:"host"`
	Port              int    `json:"port"`
	Username          string `json:"username"`
	CA                string `json:"ca"`
	Thumbprint        string `json:"thumbprint"`
	Control           string `json:"control"`
	PID               int    `json:"pid"`
	PasswordFile      string `json:"password_file"`
	GuestUsername     string `json:"guest_username"`
	GuestPasswordFile string `json:"guest_password_file"`
}

// writeState writes the state files. ready.json comes last and by rename, so that
// whoever sees it sees all.
func (s *Sim) writeState() error {
	path := func(name string) string { return filepath.Join(s.Cfg.StateDir, name) }
	ready := readyFile{
		URL:               s.URL().String(),
		Host:              s.SDKAddress.IP.String(),
		Port:              s.SDKAddress.Port,
		Username:          s.Cfg.Username,
		CA:                path("ca.pem"),
		Thumbprint:        s.Identity.Thumbprint,
		Control:           s.ControlURL(),
		PID:               os.Getpid(),
		PasswordFile:      path("password"),
		GuestUsername:     guests.Admin,
		GuestPasswordFile: path("guest-password"),
	}
	text, err := json.MarshalIndent(ready, "", "  ")
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{
		{"ca.pem", s.Identity.CAPEM, 0o644},
		{"url", []byte(ready.URL + "\n"), 0o644},
		{"control-url", []byte(ready.Control + "\n"), 0o644},
		{"thumbprint", []byte(ready.Thumbprint + "\n"), 0o644},
		{"password", []byte(s.Cfg.Password), 0o600},
		{"guest-password", []byte(s.Cfg.GuestPassword), 0o600},
		{"ready.json", append(text, '\n'), 0o644},
	} {
		if err := writeAtomic(path(f.name), f.data, f.mode); err != nil {
			return fmt.Errorf("state directory: %w", err)
		}
	}
	return nil
}

// clearState takes away what says that a simulator is ready.
func clearState(dir string) error {
	err := os.Remove(filepath.Join(dir, "ready.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func writeAtomic(path string, data []byte, mode os.FileMode) error {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
