// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/accounts"
)

func TestCredentialsAreChecked(t *testing.T) {
	b := start(t)
	b.sim.Auth.Add(accounts.User{Name: "locked@vsphere.local", Password: "secret", Privileges: []string{"*"}, Locked: true})
	for name, c := range map[string]struct{ user, password, says string }{
		"wrong password": {b.sim.Cfg.Username, "wrong", "incorrect user name or password"},
		"no password":    {b.sim.Cfg.Username, "", "incorrect user name or password"},
		"unknown user":   {"nobody@vsphere.local", b.sim.Cfg.Password, "incorrect user name or password"},
		"locked account": {"locked@vsphere.local", "secret", "locked"},
	} {
		t.Run(name, func(t *testing.T) {
			err := session.NewManager(b.connect()).Login(b.ctx, url.UserPassword(c.user, c.password))
			b.wantFault(b.callFault(err), &types.InvalidLogin{})
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v does not say %q", err, c.says)
			}
		})
	}
	b.login(strings.ToUpper(b.sim.Cfg.Username), b.sim.Cfg.Password) // names are not case sensitive
}

func TestSecondLoginInASessionIsRefused(t *testing.T) {
	b := start(t)
	req := types.Login{This: *b.client.ServiceContent.SessionManager, UserName: b.sim.Cfg.Username, Password: b.sim.Cfg.Password}
	_, err := methods.Login(b.ctx, b.client, &req)
	b.wantFault(b.callFault(err), &types.InvalidLogin{})
}

func TestOtherWaysToLogInAreClosed(t *testing.T) {
	b := start(t)
	c := b.connect()
	sm := *c.ServiceContent.SessionManager
	_, err := methods.LoginByToken(b.ctx, c, &types.LoginByToken{This: sm})
	b.wantFault(b.callFault(err), &types.InvalidLogin{})
	_, err = methods.LoginExtensionByCertificate(b.ctx, c, &types.LoginExtensionByCertificate{This: sm, ExtensionKey: "any"})
	b.wantFault(b.callFault(err), &types.NoClientCertificate{})
	_, err = methods.ImpersonateUser(b.ctx, b.client, &types.ImpersonateUser{This: sm, UserName: b.sim.Cfg.Username})
	b.wantFault(b.callFault(err), &types.NoPermission{})
}

func TestCallsNeedALogin(t *testing.T) {
	b := start(t)
	parent := b.parent().Reference()
	c := b.connect()
	_, err := methods.InstantClone_Task(b.ctx, c, &types.InstantClone_Task{This: parent, Spec: cloneSpec("x")})
	b.wantFault(b.callFault(err), &types.NotAuthenticated{})
	_, err = methods.FindByInventoryPath(b.ctx, c, &types.FindByInventoryPath{This: *c.ServiceContent.SearchIndex, InventoryPath: "/DC0"})
	b.wantFault(b.callFault(err), &types.NotAuthenticated{})
	var vm mo.VirtualMachine
	err = property.DefaultCollector(c).RetrieveOne(b.ctx, parent, []string{"name"}, &vm)
	b.wantFault(b.callFault(err), &types.NotAuthenticated{})
	if _, err := methods.GetServiceContent(b.ctx, c); err != nil {
		t.Errorf("the service content needs no login: %v", err)
	}
}

func TestCookieIsNotTheSessionKey(t *testing.T) {
	b := start(t)
	us, err := session.NewManager(b.client).UserSession(b.ctx)
	if err != nil || us == nil {
		t.Fatalf("session %v, %v", us, err)
	}
	var cookie *http.Cookie
	for _, c := range b.client.Jar.Cookies(b.sim.URL()) {
		if c.Name == soap.SessionCookieName {
			cookie = c
		}
	}
	if cookie == nil || strings.Contains(cookie.Value, us.Key) {
		t.Fatalf("cookie %v, session key %s", cookie, us.Key)
	}
	c := b.connect()
	c.Jar.SetCookies(b.sim.URL(), []*http.Cookie{{Name: soap.SessionCookieName, Value: us.Key, Path: "/"}})
	_, err = methods.GetCurrentTime(b.ctx, c)
	b.wantFault(b.callFault(err), &types.NotAuthenticated{})
	c.Jar.SetCookies(b.sim.URL(), []*http.Cookie{{Name: soap.SessionCookieName, Value: cookie.Value, Path: "/"}})
	if _, err := methods.GetCurrentTime(b.ctx, c); err != nil {
		t.Errorf("the cookie of a live session is good for another client: %v", err)
	}
}

func TestLogoutEndsTheSession(t *testing.T) {
	b := start(t)
	c := b.login(b.sim.Cfg.Username, b.sim.Cfg.Password)
	cookies := c.Jar.Cookies(b.sim.URL())
	if err := session.NewManager(c).Logout(b.ctx); err != nil {
		t.Fatal(err)
	}
	c.Jar.SetCookies(b.sim.URL(), cookies)
	_, err := methods.GetCurrentTime(b.ctx, c)
	b.wantFault(b.callFault(err), &types.NotAuthenticated{})
}

func TestExpiredSessions(t *testing.T) {
	read := func(b *bench, ref types.ManagedObjectReference) (*types.RetrievePropertiesExResponse, error) {
		return methods.RetrievePropertiesEx(b.ctx, b.client, &types.RetrievePropertiesEx{
			This: b.client.ServiceContent.PropertyCollector,
			SpecSet: []types.PropertyFilterSpec{{
				PropSet:   []types.PropertySpec{{Type: "VirtualMachine", PathSet: []string{"name", "runtime.host"}}},
				ObjectSet: []types.ObjectSpec{{Obj: ref}},
			}},
		})
	}
	t.Run("fault", func(t *testing.T) {
		b := start(t)
		ref := b.parent().Reference()
		var answer map[string]int
		if b.control("POST", "/sessions/expire", map[string]string{"as": "fault"}, &answer); answer["expired"] != 1 {
			t.Errorf("expired %v sessions, want 1", answer)
		}
		_, err := read(b, ref)
		b.wantFault(b.callFault(err), &types.NotAuthenticated{})
		if !strings.Contains(err.Error(), "The session is not authenticated.") {
			t.Error(err)
		}
	})
	t.Run("missingSet", func(t *testing.T) {
		b := start(t)
		ref := b.parent().Reference()
		b.control("POST", "/sessions/expire", map[string]string{"as": "missingSet"}, nil)
		res, err := read(b, ref)
		if err != nil {
			t.Fatal(err)
		}
		content := res.Returnval.Objects[0]
		if len(content.PropSet) != 0 || len(content.MissingSet) != 2 {
			t.Fatalf("%d properties, %d missing", len(content.PropSet), len(content.MissingSet))
		}
		b.wantFault(content.MissingSet[0].Fault.Fault, &types.NotAuthenticated{})
		_, err = methods.GetCurrentTime(b.ctx, b.client)
		b.wantFault(b.callFault(err), &types.NotAuthenticated{})
	})
}

func TestExpiryEndsWaits(t *testing.T) {
	b := start(t)
	pc, err := property.DefaultCollector(b.client).Create(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.filter(pc.Reference(), b.parent().Reference(), "name")
	first := b.wait(pc.Reference(), "", 0)
	ended := make(chan error, 1)
	go func() {
		_, err := methods.WaitForUpdatesEx(b.ctx, b.client, &types.WaitForUpdatesEx{This: pc.Reference(), Version: first.Version})
		ended <- err
	}()
	b.control("POST", "/sessions/expire", map[string]string{"as": "fault"}, nil)
	// The first where the call was there by then.
	switch fault := b.callFault(<-ended).(type) {
	case types.RequestCanceled, types.NotAuthenticated:
	default:
		t.Errorf("the wait ended with %T", fault)
	}
}

func TestSessionsAreListedWithoutTheirKeys(t *testing.T) {
	b := start(t)
	us, err := session.NewManager(b.client).UserSession(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Count    int
		Sessions []struct{ Key, Username string }
	}
	b.control("GET", "/sessions", nil, &answer)
	if answer.Count != 1 || answer.Sessions[0].Username != b.sim.Cfg.Username {
		t.Errorf("%+v", answer)
	}
	if strings.Contains(answer.Sessions[0].Key, us.Key) {
		t.Error("a whole session key is shown")
	}
}

// A session of which nothing is heard ends; one whose call is not answered yet does not.
func TestIdleSessionsEnd(t *testing.T) {
	b := start(t)
	var mu sync.Mutex
	now := time.Now()
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
	b.sim.Sessions.SetClock(func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	})
	ask := func() error {
		_, err := methods.GetCurrentTime(b.ctx, b.client)
		return err
	}
	for range 3 {
		pass(29 * time.Minute)
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	held := b.inject(map[string]any{"method": "CurrentTime", "do": "delay"})
	answered := make(chan error, 1)
	go func() { answered <- ask() }()
	b.control("GET", "/calls?method=CurrentTime&count=4&within_ms=60000", nil, nil)
	pass(time.Hour)
	b.login(b.sim.Cfg.Username, b.sim.Cfg.Password) // somebody's call, with which idle sessions end
	b.control("DELETE", fmt.Sprintf("/inject/%d", held), nil, nil)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	pass(31 * time.Minute)
	b.wantFault(b.callFault(ask()), &types.NotAuthenticated{})
}
