"""What the fuzzer does to a sound input: flips, cuts, splices, lengths, and nasty TOML values."""

from __future__ import annotations

import random
import struct

LENGTHS = (0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40)
LENGTHS += (2**62, 2**63 - 1, 2**64 - 1)
NASTY = (
    "-1", "0", "1e999", "nan", "inf", "-inf", "1" * 5000, "2" * 40, "0x7fffffffffffffff", "1e400",
    "[" * 3000 + "]" * 3000, "[" * 200 + "]" * 200, "{}", "[]", "[[]]", "true", '""', "''",
    '"' + "x" * 50_000 + '"', '"../../evil.py"', '"/etc/passwd"', '"=1+1"', '"[bold]x[/bold]"',
    '"[/x]"', '"\\u001b[2J"', '"a\\u0000b"', "1979-05-27T07:32:00Z", "07:32:00", '"others"',
    "{ a = 1, b = { c = [1, 2] } }", '["glow", "glow"]', '"\\u202e"', '"""a\nb"""', "'''\\'''",
    "[" + "1," * 20_000 + "]", '{ plugin = "glow" }', '"no:datasets"', "1_000_000_000_000",
    "[1, 10000000000]", '"x@y:z"', '"log_prob@flow:1"', "[0.5, 1]", "9223372036854775808",
)  # fmt: skip


def mutated(chance: random.Random, seeds: list[bytes]) -> bytes:
    """One of the sound inputs after one to four changes; sometimes as it is."""
    content = chance.choice(seeds)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 4))):
        content = chance.choice(CHANGES)(chance, content, seeds)
    return content[: 2**20]


def mutated_toml(chance: random.Random, text: str) -> str:
    """A suite with values replaced, lines repeated, dropped, moved, or keys renamed."""
    lines = text.splitlines()
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(lines))
        line = lines[at]
        kind = chance.randrange(6)
        if kind <= 2 and "=" in line:
            lines[at] = f"{line.partition('=')[0]}= {chance.choice(NASTY)}"
        elif kind == 3:
            lines.insert(chance.randrange(len(lines)), chance.choice(lines))
        elif kind == 4:
            name = chance.choice(("x", '"a.b"', "''", '"é\\n"', "plugin", "options", "include"))
            lines.insert(at + 1, f"{name} = {chance.choice(NASTY)}")
        elif kind == 5 and len(lines) > 1:
            del lines[at]
    return "\n".join(lines)


def mutated_json(chance: random.Random, value: object) -> object:
    """A JSON value with one part replaced by another kind of thing."""
    other = (
        None, True, -1, 1.5, 10**30, "x", "../../x", "", [], {}, [[]], {"a": {"b": 1}}, "\x1b[2J",
        "é\u202e", 2**63, -0.0, ["x"] * 3, "/etc/passwd", "manifest.json", "=1+1",
    )  # fmt: skip
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(sorted(value))
        changed = dict(value)
        kind = chance.randrange(8)
        if kind == 0:
            del changed[key]
        elif kind == 1:
            changed[str(chance.choice(other))] = changed.pop(key)
        else:
            changed[key] = mutated_json(chance, value[key])
        return changed
    if isinstance(value, list) and value and chance.random() < 0.7:
        at = chance.randrange(len(value))
        return [*value[:at], mutated_json(chance, value[at]), *value[at + 1 :]]
    return chance.choice(other)


def _flip(chance: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 8) if content else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(chance: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    return content[: chance.randint(0, len(content))]


def _drop(chance: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    start = chance.randint(0, len(content))
    return content[:start] + content[start + chance.choice((1, 2, 4, 16, 200)) :]


def _insert(chance: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    start = chance.randint(0, len(content))
    return content[:start] + chance.randbytes(chance.choice((1, 2, 4, 16))) + content[start:]


def _repeat(chance: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    start, size = chance.randint(0, len(content)), chance.choice((1, 8, 64, 512))
    piece = content[start : start + size] * chance.choice((2, 3, 50))
    return content[:start] + piece + content[start:]


def _splice(chance: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    other = chance.choice(seeds)
    return content[: chance.randint(0, len(content))] + other[chance.randint(0, len(other)) :]


def _length(chance: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    """A length field, near the start as often as not, becomes another one."""
    order, kind = chance.choice("<>"), chance.choice("BHIQ")
    size = struct.calcsize(kind)
    if len(content) < size:
        return content
    value = chance.choice(LENGTHS) % 2 ** (8 * size)
    end = len(content) - size
    at = chance.randint(0, min(end, 64) if chance.random() < 0.5 else end)
    return content[:at] + struct.pack(order + kind, value) + content[at + size :]


def _digits(chance: random.Random, content: bytes, seeds: list[bytes]) -> bytes:
    """A number in text becomes another one."""
    places = [at for at, byte in enumerate(content[:4096]) if 48 <= byte <= 57]
    if not places:
        return content
    at = chance.choice(places)
    value = chance.choice((b"0", b"-1", b"99999999999", b"9" * 30, b"1e9", b"0x10"))
    return content[:at] + value + content[at + 1 :]


CHANGES = (_flip, _flip, _cut, _drop, _insert, _repeat, _splice, _length, _length, _digits)
