"""`python -m stack.books DATABASE_URL SANDBOX_URL ACCOUNT…`: print where the books differ."""

from __future__ import annotations

import sys

from stack.books import check


def main(arguments: list[str]) -> int:
    """Print what is wrong; return 1 where something is."""
    if len(arguments) < 3:
        print(__doc__)
        return 2
    database_url, sandbox_url, *accounts = arguments
    found = check(database_url, sandbox_url, accounts)
    for one in found:
        print(one)
    print(f"books: {len(found)} discrepancies")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
