"""Write manual pages that are installed in several languages as plain text, for studies of text.

    python scripts/man_pages.py ~/man-pages

Takes the pages that English, German, French and Russian share. `FOLDER/german/test` gets a
file for each German page. Commands of the typesetter are left out, and so are lines in which two
languages agree, such as options and paragraphs without a translation.
"""

from __future__ import annotations

import argparse
import gzip
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

ROOT = Path("/usr/share/man")
LANGUAGES = {"english": ".", "german": "de", "french": "fr", "russian": "ru"}
ACCENTS = {":": "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", ",": "\u0327"}
SIGNS = {"ss": "ß", "aq": "'", "cq": "'", "oq": "'", "Fo": "«", "Fc": "»", "lq": '"', "rq": '"'}


def sign(match: re.Match[str]) -> str:
    r"""Return the character of an escape with two letters, such as `\(:a`."""
    code = match[1]
    if code[0] in ACCENTS:
        return unicodedata.normalize("NFC", code[1] + ACCENTS[code[0]])
    return SIGNS.get(code, "")


def lines(page: str) -> list[str]:
    """Return the lines of text of a page, without the commands of the typesetter."""
    kept = (line for line in page.splitlines() if not re.match(r"[.']|\s*$", line))
    text = "\n".join(kept)
    text = re.sub(r"\\\((..)", sign, text)
    text = re.sub(
        r"\\f(?:\[\w*\]|\(..|.)|\\[&c%,/|^]|\\s[-+]?\d|\\[hvwm](?:'[^']*'|\[[^]]*\])", "", text
    )
    return re.sub(r"\\(.)", r"\1", text).splitlines()


def translated(pages: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the text of a page in each language, without the lines that two languages share."""
    found = Counter(line for page in pages.values() for line in set(page))
    return {
        language: "".join(f"{line}\n" for line in page if found[line] == 1)
        for language, page in pages.items()
    }


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="Folder for a folder of each language.")
    folder = parser.parse_args().folder
    for place in sorted(ROOT.glob("man[1-9]/*.gz")):
        names = {
            language: ROOT / code / place.relative_to(ROOT) for language, code in LANGUAGES.items()
        }
        if place.is_symlink() or not all(name.is_file() for name in names.values()):
            continue
        read = {language: gzip.open(name).read().decode() for language, name in names.items()}
        for language, text in translated({key: lines(page) for key, page in read.items()}).items():
            target = folder / language / "test" / place.stem
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)


if __name__ == "__main__":
    main()
