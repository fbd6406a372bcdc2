"""Finds a Chromium for the browser tests, and brings one when there is none and the machine allows it.

Playwright drives any recent Chromium, so one from the system's packages is as good as Playwright's own
download, which many networks do not let through. `python -m stack.browser` prints the path, or says loudly
why there is none.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

VARIABLE = "PAYDESK_CHROMIUM"
# Best is the one that has no window to draw in: it shows the same pages for half of the processor's time.
NAMES = (
    "chromium-headless-shell",
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
)
DOWNLOAD_SECONDS = 120.0
PACKAGES_SECONDS = 600.0
BROWSERS = ("chromium-headless-shell", "chromium")  # the first that this system knows
FONTS = ("fonts-noto-cjk", "fonts-noto-core")  # the pages are tested in scripts beyond Latin
LIFE_SIGN_SECONDS = 15.0

# How chromium is started: without a screen, as root too, and without calls home on a closed network.
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    # Without a screen, frames in processes of their own keep receiving clicks where they stood before the page
    # moved them, and are not painted below the fold. In one process the page does both itself.
    *("--disable-site-isolation-trials", "--disable-features=IsolateOrigins,site-per-process"),
)


def find_or_install_chromium() -> Path | None:
    """Return a Chromium that starts, installing one if need be, or None; progress goes to stderr."""
    return find_chromium() or install_by_playwright() or install_by_apt()


def find_chromium() -> Path | None:
    """Return the Chromium that is here: that of PAYDESK_CHROMIUM, on the PATH, or Playwright's own.

    Raises FileNotFoundError when PAYDESK_CHROMIUM does not start: a wrong choice is not quietly replaced.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        if starts(Path(chosen)):
            return Path(chosen)
        raise FileNotFoundError(f"{VARIABLE}={chosen} is not a Chromium that starts")
    for name in NAMES:
        found = shutil.which(name)
        if found and starts(Path(found)):
            return Path(found)
    return playwrights_own()


def starts(path: Path) -> bool:
    """Tell whether the file is a browser that tells its version: a stub or a missing library does not."""
    try:
        told = subprocess.run(
            [str(path), "--version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return "Chrom" in told.stdout


def playwrights_own() -> Path | None:
    """Return the Chromium that Playwright downloaded earlier, or None."""
    if importlib.util.find_spec("playwright") is None:
        return None
    # In a process of its own, since Playwright's loop does not go together with one that already runs.
    ask = "import playwright.sync_api as p\nwith p.sync_playwright() as r: print(r.chromium.executable_path)"
    try:
        told = subprocess.run(
            [sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return Path(told) if told and starts(Path(told)) else None


def install_by_playwright() -> Path | None:
    """Let Playwright download its Chromium (at most 120 s); None where there is no way to its servers."""
    say("no Chromium here: trying Playwright's download")
    if run([sys.executable, "-m", "playwright", "install", "chromium"], seconds=DOWNLOAD_SECONDS):
        return playwrights_own()
    say("Playwright could not download it")
    return None


def install_by_apt() -> Path | None:
    """Install the system's Chromium with apt-get, as root on Debian and its kin; None where it cannot."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-q")
    # Without it, an older list may still do.
    run([*apt, "update"], seconds=PACKAGES_SECONDS, env=quiet)
    for browser in BROWSERS:
        say(f"installing {', '.join((browser, *FONTS))} with apt-get (some minutes)")
        install = [*apt, "install", "-y", "--no-install-recommends", browser, *FONTS]
        if run(install, seconds=PACKAGES_SECONDS, env=quiet):
            found = shutil.which(browser)
            if found and starts(Path(found)):
                return Path(found)
    return None


def run(command: Sequence[str], *, seconds: float, env: dict[str, str] | None = None) -> bool:
    """Run a command with signs of life, and its last lines when it fails; tell whether it went well."""
    with life_signs(command[0]):
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=seconds,
                env=env,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            say(f"{command[0]}: {error}")
            return False
    if done.returncode != 0:
        for line in done.stdout.strip().splitlines()[-4:]:
            say(f"  {line}")
    return done.returncode == 0


@contextlib.contextmanager
def life_signs(name: str) -> Iterator[None]:
    """Say every 15 seconds that it still goes on, and for how long."""
    ended = threading.Event()
    began = time.monotonic()

    def tell() -> None:
        while not ended.wait(LIFE_SIGN_SECONDS):
            say(f"… {Path(name).name}, {time.monotonic() - began:.0f} s")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def say(line: str) -> None:
    """Print a line of progress to stderr: stdout carries the path alone."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Print the path of a Chromium, or end with code 1 and what to do."""
    try:
        found = find_or_install_chromium()
    except FileNotFoundError as error:
        sys.exit(str(error))
    if found is None:
        sys.exit(
            "NO BROWSER: the browser tests cannot run.\n"
            "Install Chromium (Debian: apt-get install chromium fonts-noto-cjk fonts-noto-core),\n"
            f"or run `python -m playwright install chromium`, or set {VARIABLE} to the path of one."
        )
    print(found)


if __name__ == "__main__":
    main()
