"""Holds one process on a leash: when its owner is gone, however it went, process and descendants go too.

A parent that dies of SIGKILL runs no clean-up, and `PR_SET_PDEATHSIG` alone reaches one generation and
fires when the *thread* that forked ends. So this small guardian stands between owner and process. It watches
the owner through a pidfd, adopts orphaned descendants (`PR_SET_CHILD_SUBREAPER`), and leaves none behind,
also when the process itself is killed. It ends as its process ended: by the same code or the same signal.

Run as a file, isolated, with the standard library alone:
`python -I -S leash.py --owner PID --report FD -- command…`. It writes `pid N` or `error MESSAGE` to the
descriptor FD once the command has started or could not.
"""

import argparse
import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LOOK_SECONDS = 0.2  # how often the owner is looked for where the system has no pidfd
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

linux = sys.platform == "linux"
libc = ctypes.CDLL(None)


def main() -> None:
    """Start the command, wait until it or the owner ends, and leave no process behind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--owner", type=int, required=True)
    parser.add_argument("--report", type=int, required=True)
    parser.add_argument("--user", help="UID:GID to run the command as")
    parser.add_argument("--remove", help="folder to remove when the owner died without doing so")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()

    owner = open_owner(options.owner)
    if linux:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        child = start(options.command, options.user)
    except OSError as error:
        os.write(options.report, f"error {error}\n".encode())
        sys.exit(127)
    for number in FORWARDED:
        signal.signal(number, lambda received, _frame: child.send_signal(received))
    os.write(options.report, f"pid {child.pid}\n".encode())
    os.close(options.report)

    owner_alive = wait(child, options.owner, owner)
    end_everything(child)
    if not owner_alive:
        if options.remove:
            import shutil  # only here: importing it costs every start some milliseconds

            shutil.rmtree(options.remove, ignore_errors=True)
        sys.exit(1)
    end_alike(child.returncode)


def open_owner(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the owner ends, or None without pidfd."""
    try:
        descriptor = os.pidfd_open(pid) if linux else None
    except OSError:
        descriptor = None
    if os.getppid() != pid:  # it died before we could look
        sys.exit(1)
    return descriptor


def start(command: list[str], user: str | None) -> "subprocess.Popen[bytes]":
    """Start the command in a process group of its own, as `user` (UID:GID) when given.

    Raises OSError when the command cannot be executed.
    """

    def die_with_guardian() -> None:  # this process has one thread, so preexec_fn is safe here
        for number in FORWARDED:  # a shell's background job inherits SIGINT ignored, and would hand that on
            signal.signal(number, signal.SIG_DFL)
        if linux:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    uid, gid = (int(part) for part in user.split(":")) if user else (None, None)
    return subprocess.Popen(
        command,
        user=uid,
        group=gid,
        extra_groups=None if uid is None else [],
        process_group=0,
        preexec_fn=die_with_guardian,
    )


def wait(child: "subprocess.Popen[bytes]", owner_pid: int, owner: int | None) -> bool:
    """Wait until the child or the owner ends, and tell whether the owner still lives."""
    if owner is not None:
        child_descriptor = os.pidfd_open(child.pid)
        ready, _, _ = select.select([owner, child_descriptor], [], [])
        return owner not in ready
    while child.poll() is None:
        if os.getppid() != owner_pid:
            return False
        time.sleep(LOOK_SECONDS)
    return os.getppid() == owner_pid


def end_everything(child: "subprocess.Popen[bytes]") -> None:
    """Kill the child, its group, and every descendant, and reap those that came to us."""
    # The leader is reaped only after its group was signalled: until then its number stays taken.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    while linux:
        for pid in children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def children() -> Iterator[int]:
    """Yield the ids of our own living children, adopted ones included."""
    ourselves = str(os.getpid())
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[1] == ourselves and fields[0] != "Z":
                yield int(name)


def end_alike(returncode: int) -> None:
    """End this process with the exit code, or the signal, that the child ended with."""
    if returncode >= 0:
        sys.exit(returncode)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if -returncode not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-returncode, signal.SIG_DFL)
    os.kill(os.getpid(), -returncode)


if __name__ == "__main__":
    main()
