"""Sends so many of Celery's tasks; prints the processor seconds that sending took."""

import json
import sys
import time

from bench.limits.app import app, insert


def main() -> None:
    """Send them one by one, as a web process does on commit."""
    with app.producer_pool.acquire(block=True):
        pass  # connected before it counts
    began = time.process_time()
    for _ in range(int(sys.argv[1])):
        insert.delay()
    print(json.dumps({"cpu": time.process_time() - began}))


if __name__ == "__main__":
    main()
