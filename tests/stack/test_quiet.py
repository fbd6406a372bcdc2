"""Whose leases may run out early: those of processes of this machine that are gone, and of nobody else."""

import os
import socket
import subprocess

from stack.quiet import is_alive


def test_the_dead_of_this_machine_are_known() -> None:
    here = f"stripe-1@{socket.gethostname()}"
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert is_alive(f"{here}:{os.getpid()}:77")
    assert not is_alive(f"{here}:{ended.pid}:77")
    assert is_alive(f"stripe-1@elsewhere:{ended.pid}:77")
