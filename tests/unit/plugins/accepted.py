# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parameters that a module's own checks get to see, without a module that is run."""

from __future__ import annotations

import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.vforge.vsphere.plugins.module_utils import _secrets
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import CONSTRAINT_ERRORS


def accepted(argument_spec: dict[str, t.Any], given: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Parameters with defaults, types converted.

    What the constraints of the spec refuse is let through: a module's own check says it better, see ``make_module``.
    """
    answer = t.cast("t.Any", ArgumentSpecValidator)(argument_spec).validate(dict(given))
    wrong = [str(error) for error in answer.errors if not isinstance(error, CONSTRAINT_ERRORS)]
    assert not wrong, wrong
    return t.cast("dict[str, t.Any]", _secrets.unsealed(answer.validated_parameters))
