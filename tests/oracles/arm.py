"""Where a test needs the ARM code that sPyNNaker ships (`hardware_targets.spinnaker.machine_code`)."""

from __future__ import annotations

import pytest

from hardware_targets.spinnaker.machine_code.machine import arm_is_missing

needs_arm = pytest.mark.skipif(arm_is_missing() is not None, reason=str(arm_is_missing()))
