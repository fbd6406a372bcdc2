"""The drills of `manage.py drill`, smaller, on servers that may be broken."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from stack.processes import ROOT
from tests.faults.house import House

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_broker_drill(house: House) -> None:
    said = house.stack.manage("drill", "broker", "--jobs", "400", log="drill.log", seconds=300)
    print(said)
    assert "400 jobs due" in said
    assert "400 done, 0 lost, 0 doubled, 0 left" in said


def test_the_workers_drill(house: House) -> None:
    """Every worker dies at once; their leases (40 s) run out, the others carry on."""
    said = house.stack.manage("drill", "workers", "--jobs", "400", log="drill.log", seconds=300)
    print(said)
    assert "400 done, 0 lost, 0 doubled, 0 left" in said


def test_a_drill_refuses_to_run_on_a_real_installation() -> None:
    env = {**os.environ, "PAYDESK_LOCAL": "false", "PAYDESK_FAULT_DIR": ""}
    told = subprocess.run(
        [sys.executable, "manage.py", "drill", "broker"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert told.returncode != 0
    assert "Nothing was done" in told.stderr


def test_faults_on_purpose_are_refused_outside_of_a_local_installation() -> None:
    env = {**os.environ, "PAYDESK_LOCAL": "false", "PAYDESK_FAULT_DIR": "/tmp"}
    told = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )
    assert told.returncode != 0
    assert "needs PAYDESK_LOCAL" in told.stderr
