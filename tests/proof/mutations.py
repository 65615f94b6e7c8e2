"""Seeded damage: what goes wrong with a CSV file or a manifest on a partner's side, and worse.

Each mutation is a function of a dice and of what is to be damaged; its name tells what it does.
"""

import copy
import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Manifest = dict[str, Any]
DamageBytes = Callable[[Random, bytes], bytes]
DamageManifest = Callable[[Random, Manifest], None]

TOKENS = (
    *(b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"\0", b"\t", b"\\", b"\\N", b"NULL", b" ", b";"),
    *(b"\x7f", b"\x1b", b"\xff", b"\xc3", b"\xe9", b"\xed\xa0\x80", b"\xc0\xaf", b"\xef\xbb\xbf"),
    *("\u2028".encode(), "\x85".encode(), "😀".encode(), "e\u0301".encode(), "\u0663".encode()),
    *(b"\n\n", b"\r\n\r\n", b'"\n"', b',"x"y,', b"=cmd()", b"1e3", b"-0", b"2025-02-30"),
)
LARGEST_FIELD = 65_536


def _place(dice: Random, data: bytes) -> int:
    return dice.randrange(len(data) + 1)


def _lines(data: bytes) -> list[bytes]:
    return data.split(b"\n")


# --- bytes ----------------------------------------------------------------------------------------


def flip_byte(dice: Random, data: bytes) -> bytes:
    place = _place(dice, data)
    return data[:place] + bytes([dice.randrange(256)]) + data[place + 1 :]


def flip_bit(dice: Random, data: bytes) -> bytes:
    if not data:
        return b"\x01"
    place = dice.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]


def truncate(dice: Random, data: bytes) -> bytes:
    return data[: _place(dice, data)]


def cut_out(dice: Random, data: bytes) -> bytes:
    place = _place(dice, data)
    return data[:place] + data[place + dice.randint(1, 4) :]


def insert_token(dice: Random, data: bytes) -> bytes:
    place = _place(dice, data)
    return data[:place] + dice.choice(TOKENS) + data[place:]


def encode_otherwise(dice: Random, data: bytes) -> bytes:
    encoding = dice.choice(["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8-sig", "utf-7"])
    return data.decode(errors="replace").encode(encoding, "replace")


def append_garbage(dice: Random, data: bytes) -> bytes:
    return data + dice.choice([b"\n", b"\r\n", b"\r", b"\0", b"x", b'"', b",", b"\x1a"])


def empty(_dice: Random, _data: bytes) -> bytes:
    return b""


# --- CSV ------------------------------------------------------------------------------------------


def double_line(dice: Random, data: bytes) -> bytes:
    lines = _lines(data)
    place = dice.randrange(len(lines))
    return b"\n".join([*lines[: place + 1], *lines[place:]])


def drop_line(dice: Random, data: bytes) -> bytes:
    lines = _lines(data)
    del lines[dice.randrange(len(lines))]
    return b"\n".join(lines)


def swap_lines(dice: Random, data: bytes) -> bytes:
    lines = _lines(data)
    first, second = dice.randrange(len(lines)), dice.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def shift_fields(dice: Random, data: bytes) -> bytes:
    lines = _lines(data)
    place = dice.randrange(len(lines))
    fields = lines[place].split(b",")
    where = dice.randrange(len(fields))
    if dice.random() < 0.5:
        fields.insert(where, b"")
    else:
        del fields[where]
    if dice.random() < 0.5:  # the count stays, only the meaning moves
        fields = [*fields, b""][: lines[place].count(b",") + 1]
    lines[place] = b",".join(fields)
    return b"\n".join(lines)


def replace_field(dice: Random, data: bytes) -> bytes:
    lines = _lines(data)
    place = dice.randrange(len(lines))
    fields = lines[place].split(b",")
    fields[dice.randrange(len(fields))] = dice.choice(
        [b"", b'""', b" 5", b"12x", b"x" * 70, b"x" * 2_100, b"9" * 30, b"1.23456", b"25/12/01",
         b'" k"', b'"a ""b"" c"', "\u0663".encode(), b"\\N", b"NULL", b'"x\ny"', b"0000-00-00"]
    )  # fmt: skip
    lines[place] = b",".join(fields)
    return b"\n".join(lines)


def swell_field(dice: Random, data: bytes) -> bytes:
    content = b"x" * (LARGEST_FIELD + dice.choice([-1, 0, 0, 1, 5_000]))
    spelled = b'"' + content + b'"' if dice.random() < 0.5 else content
    lines = _lines(data)
    place = dice.randrange(len(lines))
    fields = lines[place].split(b",")
    fields[dice.randrange(len(fields))] = spelled
    lines[place] = b",".join(fields)
    return b"\n".join(lines)


def change_line_ends(dice: Random, data: bytes) -> bytes:
    unified = data.replace(b"\r\n", b"\n")
    match dice.randrange(4):
        case 0:
            return unified.replace(b"\n", b"\r\n")
        case 1:
            return unified.replace(b"\n", b"\r")
        case 2:
            return unified.replace(b"\n", b"\r\n", 1)
        case _:
            return unified.rstrip(b"\n")


def change_header(dice: Random, data: bytes) -> bytes:
    header, end, rest = data.partition(b"\n")
    names = header.split(b",")
    place = dice.randrange(len(names))
    match dice.randrange(6):
        case 0:
            names.reverse()
        case 1:
            names[place] = names[place].upper()
        case 2:
            names[place] = b'"' + names[place] + b'"'
        case 3:
            names.insert(place, names[place])
        case 4:
            names[place] += dice.choice([b" ", b"2", b"\t", "\u0441".encode()])
        case _:
            return dice.choice([b";", b"\t", b"|"]).join(names) + end + rest
    return b",".join(names) + end + rest


def compress(_dice: Random, data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


OF_BYTES: tuple[DamageBytes, ...] = (
    *(flip_byte, flip_bit, truncate, cut_out, insert_token, insert_token, encode_otherwise),
    *(append_garbage, empty),
)
OF_CSV: tuple[DamageBytes, ...] = (
    *(double_line, drop_line, swap_lines, shift_fields, shift_fields, replace_field, replace_field),
    *(replace_field, swell_field, change_line_ends, change_header, compress),
)

# --- manifests ------------------------------------------------------------------------------------


def remove_key(dice: Random, manifest: Manifest) -> None:
    holder = dice.choice([manifest, dice.choice(manifest["files"])])
    del holder[dice.choice(list(holder))]


def add_key(dice: Random, manifest: Manifest) -> None:
    dice.choice([manifest, dice.choice(manifest["files"])])[dice.choice(["note", "Rows", ""])] = 1


def retype_value(dice: Random, manifest: Manifest) -> None:
    holder = dice.choice([manifest, dice.choice(manifest["files"])])
    odd = ["12", 12.0, True, -1, None, [], {}, "", 2**63, 10**999, "x" * 500]
    holder[dice.choice(list(holder))] = dice.choice(odd)


def reorder_keys(dice: Random, manifest: Manifest) -> None:
    for holder in (manifest, *manifest["files"]):
        pairs = list(holder.items())
        dice.shuffle(pairs)
        holder.clear()
        holder.update(pairs)
    dice.shuffle(manifest["files"])


def miscount_rows(dice: Random, manifest: Manifest) -> None:
    dice.choice(manifest["files"])["rows"] += dice.choice([1, -1, 1_000_000])


def change_hash(dice: Random, manifest: Manifest) -> None:
    file = dice.choice(manifest["files"])
    other = hashlib.sha256(dice.randbytes(4)).hexdigest()
    file["sha256"] = dice.choice([other, file["sha256"].upper(), file["sha256"][:-1]])


def rename_file(dice: Random, manifest: Manifest) -> None:
    odd = ["../x", "/etc/passwd", "Customers.csv", "cust%6Fmers.csv", "\u0441ustomers.csv", ""]
    dice.choice(manifest["files"])["name"] = dice.choice([*odd, "customers.csv", "invoices.csv"])


def list_files_otherwise(dice: Random, manifest: Manifest) -> None:
    files = manifest["files"]
    if dice.random() < 0.5:
        files.append(copy.deepcopy(dice.choice(files)))
    else:
        del files[dice.randrange(len(files))]


def claim_other_names(dice: Random, manifest: Manifest) -> None:
    name = dice.choice(["load_id", "source_system", "schema_version"])
    odd = ["", "other", "v9", "bad name", "line\nbreak", "\uff11", "x" * 101, 'a"b']
    manifest[name] = dice.choice(odd)


def move_created_at(dice: Random, manifest: Manifest) -> None:
    odd = [
        "9000-01-01T00:00:00Z",
        "2026-01-01T00:00:00",
        "2026-02-30T00:00:00Z",
        "yesterday",
        "2026-01-01T00:00Z",
    ]
    exact = f"{dice.randrange(60):02}.{dice.randrange(10**6):06}"  # no other drop's
    good = [f"2026-01-01t00:00:{exact}+23:59", f"2025-06-01T12:00:{exact}-05:30"]
    manifest["created_at"] = dice.choice([*odd, "1999-12-31T23:59:60Z", *good])


def add_totals(dice: Random, manifest: Manifest) -> None:
    column = dice.choice(["total", "tax", "line_total", "quantity", "make"])
    total = dice.choice(["0", "0.00", "1.5", "-0", "1e3", "4.50", "9" * 400, 1.5, "+3"])
    dice.choice(manifest["files"])["totals"] = {column: total}


OF_MANIFEST: tuple[DamageManifest, ...] = (
    *(remove_key, add_key, retype_value, reorder_keys, reorder_keys, miscount_rows, miscount_rows),
    *(change_hash, rename_file, list_files_otherwise, claim_other_names, claim_other_names),
    *(move_created_at, add_totals, add_totals),
)


def double_key(dice: Random, data: bytes) -> bytes:
    key = dice.choice([b'"rows"', b'"load_id"', b'"files"', b'"created_at"'])
    return data.replace(key, key + b": 1, " + key, 1)


def spell_odd_number(dice: Random, data: bytes) -> bytes:
    odd = dice.choice([b"NaN", b"-Infinity", b"1" * 1_001, b"1e999", b"01", b"1.", b"+1", b"0x1"])
    return data.replace(b'"rows": ', b'"rows": ' + odd + b', "x": ', 1)


def nest_deep(dice: Random, data: bytes) -> bytes:
    levels = dice.choice([3, 28, 29, 30, 400, 20_000])
    return data.replace(b"{", b'{"x": ' + b"[" * levels + b"]" * levels + b", ", 1)


def pad(dice: Random, data: bytes) -> bytes:
    return data + b" " * (65_536 + dice.choice([-1, 0, 0, 1]) - len(data))


def print_otherwise(_dice: Random, data: bytes) -> bytes:
    try:
        return json.dumps(json.loads(data), indent=4, ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return data


OF_MANIFEST_BYTES: tuple[DamageBytes, ...] = (
    *(double_key, double_key, spell_odd_number, nest_deep, nest_deep, pad, print_otherwise),
    *OF_BYTES,
)


def picked(dice: Random, choices: Sequence[Any], most: int) -> list[Any]:
    """One or some of them, one after the other."""
    return [dice.choice(choices) for _ in range(dice.randint(1, most))]
