"""The one source of "now", so that a test can move time: keys expire, retries fall due, tokens age."""

import time


class Clock:
    """Wall time plus an offset that only grows; the offset is part of the stored state."""

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset

    def now(self) -> float:
        """Return the sandbox's time in seconds since the epoch."""
        return time.time() + self.offset

    def wall(self) -> float:
        """Return real time: for webhook signatures, whose age the receiver judges by its own clock."""
        return time.time()

    def advance(self, seconds: float) -> None:
        """Move time forward; it never goes back, because objects made "later" already exist."""
        if seconds < 0:
            raise ValueError("the clock only goes forward")
        self.offset += seconds
