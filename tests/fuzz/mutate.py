"""Mutations that keep a file's outer form: members of a zip, headers of NumPy, JSON, gzip; checksums are made right."""

import ast
import gzip
import io
import json
import re
import struct
import warnings
import zipfile

NUMBERS = (0, 1, -1, 2, 3, 5, 127, 128, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1,
           2**63, 2**64, 10**12, 10**400)
VALUES = (*NUMBERS, None, True, False, 0.5, -0.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), "", "a", "1",
          "nan", "\x1b[2J\n", "\ud800", "x" * 5000, [], {}, [1], [[1.0]], [None] * 50, {"class": "Step"}, "relu",
          "float64")
DESCRS = ("<f4", "<f8", ">f8", "<f2", "<f16", "<i8", "|u1", "|b1", "<c8", "<c16", "|O", "<U0", "|S0", "|V0", "<U9",
          "|V8", "<M8[s]", "<m8", "(3,)<f4", "(1000000,)<f8", "<f4,<f4", "|V2000000000", [["a", "<f4"]], "x", "",
          5, None)
TOKENS = (b",", b"\n", b"\r\n", b'"', b"\0", b"nan", b"inf", b"1e999", b"-0", b"1_0", b"\xff", b"\xef\xbb\xbf", b"\t",
          b";", b"0x1", b"1" * 400, "\u0661\u2028".encode())


def _class_names():
    from nnjit.nn.formats import parts as saving
    return sorted(saving.CLASSES)


def raw(random, data):
    """A few bytes changed, cut out, doubled or put in."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        at, length = random.randrange(len(found) + 1), random.choice((1, 2, 4, 8, 30, 100))
        kind = random.randrange(6)
        if kind == 0 and at < len(found):
            found[at] ^= 1 << random.randrange(8)
        elif kind == 1 and at < len(found):
            found[at] = random.randrange(256)
        elif kind == 2:
            del found[at:at + length]
        elif kind == 3:
            found[at:at] = found[at:at + length]
        elif kind == 4:
            size = random.choice((1, 2, 4, 8))
            number = random.choice(NUMBERS) % 256**size
            found[at:at + size] = number.to_bytes(size, random.choice(("little", "big")))
        else:
            found[at:at] = random.choice(TOKENS)
    return bytes(found)


def csv(random, data):
    """Fields and lines changed, doubled, left out."""
    lines = [line.split(b",") for line in data.split(b"\n")]
    for _ in range(random.choice((1, 2, 5))):
        line = random.choice(lines)
        at = random.randrange(len(line))
        kind = random.randrange(5)
        if kind == 0:
            line[at] = random.choice(TOKENS) if random.random() < 0.5 else repr(random.choice(VALUES)).encode()
        elif kind == 1:
            line.insert(at, line[at])
        elif kind == 2 and len(line) > 1:
            del line[at]
        elif kind == 3:
            lines.insert(random.randrange(len(lines)), list(line))
        else:
            line[at] = raw(random, line[at])
    return b"\n".join(map(b",".join, lines))


def idx(random, data):
    """The header or the data of an IDX file, plain or in gzip."""
    zipped = data[:2] == b"\x1f\x8b"
    try:
        found = bytearray(gzip.decompress(data) if zipped else data)
    except Exception:
        return raw(random, data)
    if random.random() < 0.6 and len(found) >= 8:
        at = 4 * random.randrange(1, min(len(found) // 4, 4))
        found[at:at + 4] = (random.choice((*NUMBERS, 28, 784)) % 2**32).to_bytes(4, "big")
    else:
        found = bytearray(raw(random, found))
    if not zipped:
        return bytes(found)
    parts = [bytes(found)] if random.random() < 0.8 else [bytes(found[:20]), bytes(found[20:]), b""]
    return b"".join(gzip.compress(part, 1, mtime=0) for part in parts)


def _nodes(tree, at=()):
    found = [at]
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        found += _nodes(value, (*at, key))
    return found


def description(random, data):
    """A model's JSON with values, classes and parts changed, left out or moved."""
    try:
        tree = json.loads(data)
    except Exception:
        return raw(random, data)
    for _ in range(random.choice((1, 1, 2, 3))):
        nodes = [node for node in _nodes(tree) if node]
        if not nodes:
            break
        *way, key = random.choice(nodes)
        holder = tree
        for step in way:
            holder = holder[step]
        kind = random.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            holder[key] = json.loads(json.dumps(_at(tree, random.choice(nodes))))
        elif kind == 2:
            named = [node for node in nodes if node[-1] == "class"]
            if named:
                place = random.choice(named)
                _at(tree, place[:-1])["class"] = random.choice(_class_names())
        elif kind == 3 and isinstance(holder, list):
            holder.insert(random.randrange(len(holder) + 1), random.choice(VALUES))
        elif kind == 4 and isinstance(holder, dict):
            holder[random.choice(("class", "more", "n_inputs", "rng", "initializer", "schedule", "steps", "calls"))] = (
                random.choice(VALUES))
        else:
            holder[key] = random.choice(VALUES)
    if random.random() < 0.01:
        return b"[" * 100_000
    return json.dumps(tree).encode()


def _at(tree, way):
    for step in way:
        tree = tree[step]
    return tree


def npy(random, data):
    """The header of a NumPy array, its length made right, or the numbers behind."""
    match = re.match(rb"\x93NUMPY(.)\0(..)(\{.*?\}) *\n", data, re.DOTALL)
    if not match or random.random() < 0.2:
        return raw(random, data)
    body = data[match.end():]
    try:
        header = ast.literal_eval(match[3].decode("latin1"))
    except Exception:
        return raw(random, data)
    if not isinstance(header, dict):
        return raw(random, data)
    kind = random.randrange(7)
    if kind == 0:
        header["descr"] = random.choice(DESCRS)
    elif kind == 1:
        header["shape"] = tuple(random.choice((*NUMBERS, 10**5)) for _ in range(random.choice((0, 1, 2, 2, 3, 70))))
    elif kind == 2:
        header["descr"], header["shape"] = random.choice(DESCRS), (random.choice(NUMBERS), random.choice(NUMBERS))
    elif kind == 3:
        header["fortran_order"] = random.choice((True, False, None, 1))
    elif kind == 4:
        header[random.choice(("more", "shape", "descr"))] = random.choice(VALUES)
    elif kind == 5:
        body = raw(random, body)
    else:
        body = body * 2 if random.random() < 0.5 else body[:len(body) // 2]
    text = repr(header).encode("utf8", "surrogatepass")
    if random.random() < 0.1:
        text = raw(random, text)
    if random.random() < 0.02:
        text = random.choice((b"(" * 3000, b"-" * 9000 + b"1", b"{" * 300, b"1L" * 2000))
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    version = random.choice((1, 1, 1, 1, 2, 3, 4))
    length = struct.pack("<H", len(text) % 2**16) if version == 1 else struct.pack("<I", len(text))
    return b"\x93NUMPY" + bytes((version, 0)) + length + text + body


def members(data):
    """The (name, content) of a zip's members, as far as they can be read; [] for no zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            return [(member.filename, file.read(member)) for member in file.infolist()[:50] if member.file_size < 10**6]
    except Exception:
        return []


def zipped(parts, compression=zipfile.ZIP_STORED):
    """A zip of (name, content), with right checksums."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two members of one name
        for name, part in parts:
            file.writestr(zipfile.ZipInfo(name), part, compression)
    return content.getvalue()


def npz(random, data):
    """A member's content or name changed; or one left out, doubled, moved; or the directory at the end."""
    parts = members(data)
    if not parts or random.random() < 0.1:
        return raw(random, data)
    for _ in range(random.choice((1, 1, 2))):
        if not parts:
            break
        at = random.randrange(len(parts))
        name, part = parts[at]
        kind = random.random()
        if kind < 0.75:
            begin = part.find(b"\n") + 1 if part.startswith(b"\x93NUMPY") else 0
            if name == "model.json.npy" and random.random() < 0.9:
                text = description(random, part[begin:])
                head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,)}" % len(text)
                head += b" " * (-(len(head) + 11) % 64) + b"\n"
                parts[at] = name, b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + text
            else:
                parts[at] = name, npy(random, part)
        elif kind < 0.82:
            del parts[at]
        elif kind < 0.9:
            parts[at] = random.choice((random.choice(parts)[0], "X.npy", "a", "", "\x1b[2J\n.npy", "pickle.npy",
                                       "layer0.state0.npy", "y" * 3000, "../a.npy")), part
        elif kind < 0.95:
            parts.insert(at, parts[random.randrange(len(parts))])
        else:
            parts[at] = name, random.choice(parts)[1]
    compression = random.choice((zipfile.ZIP_STORED,) * 8 + (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
    try:
        found = zipped(parts, compression)
    except (ValueError, UnicodeError):
        return raw(random, data)
    if random.random() < 0.08:  # where sizes, offsets, checksums and names stand
        tail = found.find(b"PK\1\2")
        found = found[:tail] + raw(random, found[tail:])
    return found


def cifar(random, data):
    """An archive's content, packed again, or a file as it is."""
    if data[:2] != b"\x1f\x8b":
        return raw(random, data)
    try:
        return gzip.compress(raw(random, gzip.decompress(data)), 1, mtime=0)
    except Exception:
        return raw(random, data)


MUTATIONS = {"model": npz, "parameters": npz, "idx": idx, "load_idx": idx, "cifar": cifar, "csv": csv, "npy": npy,
             "npz": npz}


def mutate(random, name, data):
    """Another file for a target, from one of its files."""
    return MUTATIONS[name](random, data) if random.random() < 0.85 else raw(random, data)
