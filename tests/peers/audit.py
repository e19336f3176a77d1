"""Checks an exported audit log of Headgate: written from RFC 9162 section 2.1, c2sp.org/tlog-checkpoint,
c2sp.org/signed-note and c2sp.org/tlog-proof, and shares nothing with the program that wrote the log.

    audit.py verify DIR [--key KEY.pem] [--seen CHECKPOINT]
    audit.py inclusion DIR INDEX [--key KEY.pem]
    audit.py consistency DIR OLD NEW [--key KEY.pem]

KEY.pem is the public key that you noted down, CHECKPOINT one that you kept. Without them, what is in DIR is only
held against itself. Exit code 0 and one line: it holds; 1 and one line: what does not, and where; 2: usage.
"""
import base64
import binascii
import hashlib
import json
import os
import subprocess
import sys
import tempfile

SCHEMA = "headgate/audit-entry/v1"
KNOWN = {"actor", "at", "at_trusted", "code", "count", "digest", "kind", "n", "schema", "subject", "text"}
NEEDED = {"actor", "at", "kind", "n", "schema", "subject", "text"}
DASH = "\u2014 "


class Bad(Exception):
    """What does not hold, in one line."""


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(entry):
    return sha256(b"\x00" + entry)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


class Tree:
    """The roots of perfect subtrees, largest first, each with its number of leaves."""

    def __init__(self):
        self.peaks, self.size = [], 0

    def add(self, leaf):
        count = 1
        while self.peaks and self.peaks[-1][0] == count:
            _, left = self.peaks.pop()
            leaf, count = node_hash(left, leaf), count * 2
        self.peaks.append((count, leaf))
        self.size += 1

    def root(self):
        if not self.peaks:
            return sha256(b"")
        root = self.peaks[-1][1]
        for _, left in reversed(self.peaks[:-1]):
            root = node_hash(left, root)
        return root


def root_from_inclusion(index, size, leaf, path):
    """RFC 9162 section 2.1.3.2, without the last comparison."""
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            raise Bad("the inclusion proof has too many hashes: %d" % len(path))
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise Bad("the inclusion proof has too few hashes: %d" % len(path))
    return r


def roots_from_consistency(old, new, old_root, path):
    """RFC 9162 section 2.1.4.2, without the last comparisons."""
    path = list(path)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise Bad("the consistency proof is empty")
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            raise Bad("the consistency proof has too many hashes: %d" % len(path))
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise Bad("the consistency proof has too few hashes: %d" % len(path))
    return fr, sr


def decode(text, what):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Bad("%s: %r is not Base64" % (what, text[:60]))
    if base64.b64encode(data).decode() != text:
        raise Bad("%s: %r is not Base64 in its one form" % (what, text[:60]))
    return data


def decode_hash(text, what):
    data = decode(text, what)
    if len(data) != 32:
        raise Bad("%s: a hash of %d bytes, expected 32" % (what, len(data)))
    return data


def decimal(text, what):
    if not (text.isascii() and text.isdigit()) or str(int(text)) != text:
        raise Bad("%s: %r is no decimal number" % (what, text[:60]))
    return int(text)


class Key:
    def __init__(self, path):
        self.path = path
        text = read(path).decode("ascii", "replace")
        body = [line for line in text.splitlines() if line and not line.startswith("-----")]
        self.id = sha256(decode("".join(body), path))[:4]

    def check(self, text, signature):
        with tempfile.TemporaryDirectory() as folder:
            names = [os.path.join(folder, name) for name in ("text", "signature")]
            for name, data in zip(names, (text, signature)):
                with open(name, "wb") as file:
                    file.write(data)
            command = ["openssl", "dgst", "-sha256", "-verify", self.path, "-signature", names[1], names[0]]
            return subprocess.run(command, capture_output=True).returncode == 0


class Checkpoint:
    """A signed note, its signature checked."""

    def __init__(self, data, what, key):
        try:
            note = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Bad("%s: not UTF-8" % what)
        if any(ord(c) < 32 and c != "\n" for c in note):
            raise Bad("%s: control characters" % what)
        text, gap, signatures = note.rpartition("\n\n")
        if not gap or not signatures.endswith("\n"):
            raise Bad("%s: no signatures below an empty line" % what)
        text += "\n"
        lines = text[:-1].split("\n")
        if len(lines) < 3 or "" in lines:
            raise Bad("%s: found %d lines, expected origin, size and root" % (what, len(lines)))
        self.origin = lines[0]
        self.size = decimal(lines[1], what + ", line 2")
        self.root = decode_hash(lines[2], what + ", line 3")
        others, good = [], False
        for line in signatures[:-1].split("\n"):
            name, gap, encoded = line[len(DASH):].partition(" ")
            if not line.startswith(DASH) or not gap or not name:
                raise Bad("%s: %r is no signature line" % (what, line[:60]))
            blob = decode(encoded, what + ", signature")
            if name != self.origin or blob[:4] != key.id:
                others.append("%s+%s" % (name, blob[:4].hex()))
            elif key.check(text.encode(), blob[4:]):
                good = True
            else:
                raise Bad("%s: the signature of %s+%s does not fit the text" % (what, name, key.id.hex()))
        if not good:
            expected = "%s+%s" % (self.origin, key.id.hex())
            raise Bad("%s: signed by %s, expected the key %s" % (what, ", ".join(others), expected))


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as e:
        raise Bad("%s: %s" % (path, e.strerror))


def unique(pairs):
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a field twice")
    return dict(pairs)


def no_float(text):
    raise ValueError("the float " + text)


def check_entry(line, index, where):
    try:
        entry = json.loads(line.decode("utf-8"), object_pairs_hook=unique, parse_float=no_float)
    except ValueError as e:
        raise Bad("%s: no JSON: %s" % (where, e))
    if not isinstance(entry, dict) or entry.get("schema") != SCHEMA:
        raise Bad("%s: no entry of the schema %s" % (where, SCHEMA))
    if entry.keys() - KNOWN or NEEDED - entry.keys():
        raise Bad("%s: fields unknown or missing: %s" % (where, sorted(entry.keys() ^ NEEDED)))
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if canonical != line:
        raise Bad("%s: not in its canonical form" % where)
    if entry["n"] != index:
        raise Bad("%s calls itself entry %s: entries were reordered, left out or put in" % (where, entry["n"]))


def entries(folder):
    """Index, place and bytes of every entry."""
    path, offset = os.path.join(folder, "entries.jsonl"), 0
    try:
        file = open(path, "rb")
    except OSError as e:
        raise Bad("%s: %s" % (path, e.strerror))
    with file:
        for index, line in enumerate(file):
            where = "entry %d (line %d, byte %d of entries.jsonl)" % (index, index + 1, offset)
            if not line.endswith(b"\n"):
                raise Bad("%s was cut short: the file ends after %d bytes of it" % (where, len(line)))
            offset += len(line)
            yield index, where, line[:-1]


def checkpoints(folder, key):
    """Every checkpoint, by size; each is named by what it covers."""
    base = os.path.join(folder, "checkpoints")
    found, origin = [], None
    for name in sorted(os.listdir(base)) if os.path.isdir(base) else []:
        what = "checkpoints/" + name
        checkpoint = Checkpoint(read(os.path.join(base, name)), what, key)
        if name != "%020d.txt" % checkpoint.size:
            raise Bad("%s covers %d entries, which is not what its name says: checkpoints were swapped"
                      % (what, checkpoint.size))
        if origin not in (None, checkpoint.origin):
            raise Bad("%s is of the log %s, expected %s" % (what, checkpoint.origin, origin))
        origin = checkpoint.origin
        found.append((what, checkpoint))
    return found


def verify(folder, key, seen):
    kept = checkpoints(folder, key)
    path = os.path.join(folder, "leaves.txt")
    leaves = read(path).decode("ascii", "replace").splitlines() if os.path.exists(path) else None
    if seen is not None:
        seen = Checkpoint(read(seen), seen, key)
    tree, left, covered = Tree(), list(kept), 0
    for index, where, line in entries(folder):
        check_entry(line, index, where)
        leaf = leaf_hash(line)
        if leaves is not None and (index >= len(leaves) or leaves[index] != leaf.hex()):
            expected = leaves[index] if index < len(leaves) else "no such line"
            raise Bad("%s was edited: its leaf hash is %s, leaves.txt says %s" % (where, leaf.hex(), expected))
        tree.add(leaf)
        if left and left[0][1].size == tree.size:
            what, checkpoint = left.pop(0)
            if checkpoint.root != tree.root():
                raise Bad("one of the entries %d to %d is not the one that %s covers: their root is %s, expected %s"
                          % (covered, index, what, tree.root().hex(), checkpoint.root.hex()))
            covered = tree.size
        if seen is not None and seen.size == tree.size and seen.root != tree.root():
            raise Bad("the log was written anew: its first %d entries have the root %s, and the checkpoint seen "
                      "earlier has %s" % (seen.size, tree.root().hex(), seen.root.hex()))
    if left:
        what, checkpoint = left[0]
        raise Bad("the log was cut short: it ends after %d entries, and %s covers %d"
                  % (tree.size, what, checkpoint.size))
    if seen is not None and seen.size > tree.size:
        raise Bad("the log was rolled back: it has %d entries, and the checkpoint seen earlier covers %d"
                  % (tree.size, seen.size))
    if leaves is not None and len(leaves) != tree.size:
        raise Bad("the log was cut short: entries.jsonl has %d entries, leaves.txt %d" % (tree.size, len(leaves)))
    line = "ok: %d entries, %d checkpoints signed by %s" % (tree.size, len(kept), key.id.hex())
    if covered < tree.size:
        line += "; no checkpoint covers the entries %d to %d" % (covered, tree.size - 1)
    return line


def inclusion(folder, index, key):
    proof = os.path.join("proofs", "inclusion-%d.tlog-proof" % index)
    text = read(os.path.join(folder, proof)).decode("utf-8", "replace")
    head, gap, note = text.partition("\n\n")
    lines = head.split("\n")
    if not gap or lines[0] != "c2sp.org/tlog-proof@v1":
        raise Bad("%s: no c2sp.org/tlog-proof, version 1" % proof)
    lines = lines[2:] if len(lines) > 1 and lines[1].startswith("extra ") else lines[1:]
    if not lines or lines[0] != "index %d" % index:
        raise Bad("%s: found %r, expected index %d" % (proof, lines[:1], index))
    path = [decode_hash(line, proof) for line in lines[1:]]
    checkpoint = Checkpoint(note.encode(), proof, key)
    if index >= checkpoint.size:
        raise Bad("%s: entry %d is not among the %d that the checkpoint covers" % (proof, index, checkpoint.size))
    single = os.path.join(folder, "proofs", "entry-%d.json" % index)
    if os.path.exists(single):
        where, line = "proofs/entry-%d.json" % index, read(single).rstrip(b"\n")
    else:
        found = [(where, line) for n, where, line in entries(folder) if n == index]
        if not found:
            raise Bad("entries.jsonl has no entry %d" % index)
        where, line = found[0]
    check_entry(line, index, where)
    root = root_from_inclusion(index, checkpoint.size, leaf_hash(line), path)
    if root != checkpoint.root:
        raise Bad("%s is not the entry %d that was signed: the proof leads to the root %s, expected %s"
                  % (where, index, root.hex(), checkpoint.root.hex()))
    return "ok: entry %d is one of the %d that a checkpoint signed by %s covers" % (
        index, checkpoint.size, key.id.hex())


def consistency(folder, old, new, key):
    pair = []
    for size in (old, new):
        what = "checkpoints/%020d.txt" % size
        checkpoint = Checkpoint(read(os.path.join(folder, what)), what, key)
        if checkpoint.size != size:
            raise Bad("%s covers %d entries, which is not what its name says" % (what, checkpoint.size))
        pair.append(checkpoint)
    older, newer = pair
    if older.origin != newer.origin:
        raise Bad("the checkpoints are of two logs: %s and %s" % (older.origin, newer.origin))
    proof = os.path.join("proofs", "consistency-%d-%d.txt" % (old, new))
    lines = read(os.path.join(folder, proof)).decode("utf-8", "replace").splitlines()
    if lines[:3] != ["headgate/consistency-proof/v1", "old %d" % old, "new %d" % new]:
        raise Bad("%s: found %r, expected the proof from %d to %d" % (proof, lines[:3], old, new))
    path = [decode_hash(line, proof) for line in lines[3:]]
    if old == new:
        roots = (newer.root, newer.root)
    elif 0 < old < new:
        roots = roots_from_consistency(old, new, older.root, path)
    else:
        raise Bad("no log of %d entries continues one of %d" % (new, old))
    for name, found, checkpoint in zip(("older", "newer"), roots, pair):
        if found != checkpoint.root:
            raise Bad("%s leads to the root %s of the %s checkpoint, expected %s"
                      % (proof, found.hex(), name, checkpoint.root.hex()))
    return "ok: the log of %d entries continues that of %d" % (new, old)


def usage():
    sys.stderr.write(__doc__)
    return 2


def main(args):
    options = {"--key": None, "--seen": None}
    for name in options:
        if name in args:
            at = args.index(name)
            if at + 1 >= len(args):
                return usage()
            options[name] = args[at + 1]
            del args[at:at + 2]
    if len(args) < 2:
        return usage()
    verb, folder, numbers = args[0], args[1], args[2:]
    try:
        numbers = [decimal(number, verb) for number in numbers]
        key = Key(options["--key"] or os.path.join(folder, "key.pem"))
        if verb == "verify" and not numbers:
            line = verify(folder, key, options["--seen"])
        elif verb == "inclusion" and len(numbers) == 1 and not options["--seen"]:
            line = inclusion(folder, numbers[0], key)
        elif verb == "consistency" and len(numbers) == 2 and not options["--seen"]:
            line = consistency(folder, numbers[0], numbers[1], key)
        else:
            return usage()
    except Bad as e:
        print("bad: %s" % e)
        return 1
    print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
