"""`make messages`: what people read, extracted for translators, and their catalogues compiled.

Extracting needs GNU gettext (`apt-get install gettext`), and only who adds words needs to extract. Both the .po and
the compiled .mo are kept in git, so that a new machine and the image need no tool; a test keeps the two equal.
Compiling is done here, in Python: `python -m stack.messages --compile`.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCALES = ROOT / "web" / "locale"
LANGUAGES = ("ko",)
_LINE = re.compile(r'(msgctxt|msgid|msgid_plural|msgstr(?:\[\d\])?) (".*")')
_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]")


def main() -> None:
    """Extract and compile; end with what is still to be translated."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--compile", action="store_true", help="compile only")
    options = parser.parse_args()
    if not options.compile:
        if shutil.which("xgettext") is None:
            sys.exit("Extracting needs GNU gettext: apt-get install gettext (macOS: brew install gettext).")
        extract()
    for language in LANGUAGES:
        source = catalogue(language)
        entries = read(source.read_text(encoding="utf-8"))
        source.with_suffix(".mo").write_bytes(compiled(entries))
        missing = sum(1 for entry in entries if not is_translated(entry))
        print(
            f"{language}: {len(entries) - missing} translated, {missing} to do in {source.relative_to(ROOT)}"
        )


def catalogue(language: str) -> Path:
    """Return where a language's messages are."""
    return LOCALES / language / "LC_MESSAGES" / "django.po"


def extract() -> None:
    """Bring the .po files to what the code says now; what is translated stays."""
    wanted = [argument for language in LANGUAGES for argument in ("-l", language)]
    command = [sys.executable, str(ROOT / "manage.py"), "makemessages", *wanted, "--no-obsolete", "--no-wrap"]
    subprocess.run([*command, "--add-location", "file", "-v", "0"], cwd=ROOT / "web", check=True)


def read(text: str) -> list[dict[str, str]]:
    """Read a .po file: an entry has msgid, msgstr (or msgstr[0]…), maybe msgctxt, msgid_plural and flags."""
    entries: list[dict[str, str]] = []
    for block in text.split("\n\n"):
        entry: dict[str, str] = {}
        field = ""
        for line in block.splitlines():
            found = _LINE.fullmatch(line)
            if line.startswith("#,"):
                entry["flags"] = line
            elif found is not None:
                field = found[1]
                entry[field] = json.loads(found[2])
            elif line.startswith('"') and field:
                entry[field] += json.loads(line)
        if "msgid" in entry:
            entries.append(entry)
    return entries


def is_translated(entry: dict[str, str]) -> bool:
    """Say whether an entry has a translation that a person has looked at."""
    told = [text for name, text in entry.items() if name.startswith("msgstr")]
    return all(told) and "fuzzy" not in entry.get("flags", "")


def misplaced(entry: dict[str, str]) -> bool:
    """Say whether a translation lost or invented a placeholder: it would break when it is used."""
    asked = set(_PLACEHOLDER.findall(entry["msgid"] + entry.get("msgid_plural", "")))
    told = [
        set(_PLACEHOLDER.findall(text)) for name, text in entry.items() if name.startswith("msgstr") and text
    ]
    return any(one != asked for one in told)


def compiled(entries: list[dict[str, str]]) -> bytes:
    """Return the .mo file of a catalogue (GNU's format, little-endian, sorted, without a hash table)."""
    pairs: list[tuple[bytes, bytes]] = []
    for entry in entries:
        if entry["msgid"] and not is_translated(entry):
            continue
        key = entry["msgid"]
        if "msgctxt" in entry:
            key = f"{entry['msgctxt']}\x04{key}"
        if "msgid_plural" in entry:
            key = f"{key}\0{entry['msgid_plural']}"
        told = [entry[name] for name in sorted(entry) if name.startswith("msgstr")]
        pairs.append((key.encode(), "\0".join(told).encode()))
    pairs.sort()
    count, header = len(pairs), 28
    offset = header + 16 * count
    tables: list[bytes] = []
    body = b""
    for column in (0, 1):
        table = b""
        for pair in pairs:
            table += struct.pack("<II", len(pair[column]), offset + len(body))
            body += pair[column] + b"\0"
        tables.append(table)
    numbers = (0x950412DE, 0, count, header, header + 8 * count, 0, offset)
    return struct.pack("<7I", *numbers) + tables[0] + tables[1] + body


if __name__ == "__main__":
    main()
