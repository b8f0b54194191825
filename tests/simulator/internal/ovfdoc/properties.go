// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package ovfdoc

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vmware/govmomi/ovf"
)

// whole are the whole numbers of OVF, and what vCenter calls those that its own type of such numbers can hold.
var whole = map[string]struct {
	bits   int
	signed bool
	kind   string
}{
	"uint8": {8, false, "int(0..255)"}, "sint8": {8, true, "int(-128..127)"},
	"uint16": {16, false, "int(0..65535)"}, "sint16": {16, true, "int(-32768..32767)"},
	"uint32": {32, false, "int"}, "sint32": {32, true, "int"}, "uint64": {64, false, "int"}, "sint64": {64, true, "int"},
	"int": {32, true, "int"},
}

var (
	length = regexp.MustCompile(`(Min|Max)Len\((\d+)\)`)
	choice = regexp.MustCompile(`ValueMap\{([^}]*)\}`)
	quoted = regexp.MustCompile(`"([^"]*)"`)
)

// limits are what the qualifiers of a property say of its value: the least and the greatest length, empty for none, and
// the values that are allowed, none for any.
func limits(p *ovf.Property) (least, most string, choices []string) {
	text := Text(p.Qualifiers)
	for _, found := range length.FindAllStringSubmatch(text, -1) {
		if found[1] == "Min" {
			least = found[2]
		} else {
			most = found[2]
		}
	}
	if found := choice.FindStringSubmatch(text); found != nil {
		for _, value := range quoted.FindAllStringSubmatch(found[1], -1) {
			choices = append(choices, value[1])
		}
	}
	return least, most, choices
}

// PropertyType is the type of a property as vCenter has it (API reference, VAppPropertyInfo).
func PropertyType(p *ovf.Property) string {
	kind := p.Type
	switch {
	case p.Password != nil && *p.Password:
		kind = "password"
	case whole[kind].kind != "":
		return whole[kind].kind
	case strings.HasPrefix(kind, "real"):
		return "real"
	case kind == "":
		kind = "string"
	}
	least, most, choices := limits(p)
	switch {
	case kind == "string" && len(choices) > 0:
		return fmt.Sprintf(`string["%s"]`, strings.Join(choices, `", "`))
	case (kind == "string" || kind == "password") && least+most != "":
		return fmt.Sprintf("%s(%s..%s)", kind, least, most)
	}
	return kind
}

// Fits tells if a property can have a value, by its type and its qualifiers.
func Fits(p *ovf.Property, value string) bool {
	var err error
	if number, ok := whole[p.Type]; ok && number.signed {
		_, err = strconv.ParseInt(value, 10, number.bits)
	} else if ok {
		_, err = strconv.ParseUint(value, 10, number.bits)
	} else if strings.HasPrefix(p.Type, "real") {
		_, err = strconv.ParseFloat(value, 64)
	}
	if err != nil || p.Type == "boolean" && value != "True" && value != "False" {
		return false
	}
	least, most, choices := limits(p)
	size := utf8.RuneCountInString(value)
	if n, err := strconv.Atoi(least); err == nil && size < n {
		return false
	}
	if n, err := strconv.Atoi(most); err == nil && size > n {
		return false
	}
	return len(choices) == 0 || slices.Contains(choices, value)
}
