#!/usr/bin/env python3
"""Opens what Tidings sealed, given the keys: the format of docs/keys.md in one page. Needs the package `cryptography`.

  open_sealed.py text ROOT_OR_EDGE_FILE CONTEXT TEXT         a value sealed as text, such as an app secret
  open_sealed.py derive KEY LABEL                            a key for one purpose
  open_sealed.py record KEY SEALED DOMAIN [PART ...]         a sealed record
  open_sealed.py stream KEY FILE DOMAIN [PART ...]           a sealed file, to standard output once it is whole
  open_sealed.py data-key ROOT_FILE WRAPPED                  a data key for raw bodies
  open_sealed.py check VECTORS                               all published test vectors

KEY and SEALED are hexadecimal, or @FILE for the bytes of a file. PART is text, or hex:… for bytes, or u16:… for a number.
"""
import base64
import json
import pathlib
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CHUNK, TAG, NONCE = 64 * 1024, 16, 12


class Refused(Exception):
    """It does not open."""


def derive(key, label):
    """A key for one purpose: HKDF-SHA256, salt `tidings`, info the label."""
    return HKDF(hashes.SHA256(), 32, b"tidings", label.encode()).derive(key)


def part(spec):
    kind, _, value = spec.partition(":")
    if kind == "hex":
        return bytes.fromhex(value)
    if kind == "u16":
        return struct.pack(">H", int(value))
    return spec.encode()


def context(parts):
    """The domain and the parts, each with its length as eight bytes in front."""
    return b"".join(struct.pack(">Q", len(piece)) + piece for piece in map(part, parts))


def decrypt(key, nonce, sealed, aad):
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise Refused("another key or another context, or it was changed") from None


def open_record(key, sealed, parts):
    """1 ‖ generation ‖ nonce ‖ ciphertext ‖ tag; bound to generation ‖ context."""
    if len(sealed) < 3 + NONCE + TAG or sealed[0] != 1:
        raise Refused("no sealed record")
    return decrypt(key, sealed[3:15], sealed[15:], sealed[1:3] + context(parts))


def open_stream(key, sealed, parts):
    """1 ‖ "tds" ‖ prefix, then chunks; a chunk's nonce is prefix ‖ number ‖ 1 for the last one, else 0."""
    if len(sealed) < 11 + TAG or sealed[:4] != b"\x01tds":
        raise Refused("no sealed stream")
    prefix, chunks, plain = sealed[4:11], sealed[11:], []
    count = -(-len(chunks) // (CHUNK + TAG))
    for number in range(count):
        chunk = chunks[number * (CHUNK + TAG):(number + 1) * (CHUNK + TAG)]
        if len(chunk) < TAG:
            raise Refused("cut short")
        nonce = prefix + struct.pack(">IB", number, number == count - 1)
        plain.append(decrypt(key, nonce, chunk, context(parts)))
    return b"".join(plain)


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def generations(text):
    """Of a key file, the newest first: (key id, key, raw private key or None)."""
    found = []
    for line in text.split():
        form, _, rest = line.partition(":")
        if form == "tidings-root-v1":
            secret = bytes.fromhex(rest)
            found.append((derive(secret, "key-id")[:4].hex(), secret, derive(secret, "raw/x25519")))
        elif form == "tidings-edge-v1":
            key_id, key, _public = rest.split(":")
            found.append((key_id, bytes.fromhex(key), None))
        elif form == "tidings-root-kms-v1":
            raise Refused("have AWS KMS unwrap the line first (docs/keys.md says how)")
        else:
            raise Refused("no key file")
    return found


def open_text(keys, bound_to, text):
    """v2.<key id>.<base64url(nonce ‖ ciphertext ‖ tag)>, or v1.<…> without a key id."""
    version, *rest = text.split(".")
    if (version, len(rest)) not in (("v1", 1), ("v2", 2)):
        raise Refused("no sealed text")
    body = unbase64(rest[-1])
    for key_id, key, _ in keys:
        if version == "v1" or key_id == rest[0]:
            try:
                key = derive(key, f"seal/aes-256-gcm/{version}")
                return decrypt(key, body[:NONCE], body[NONCE:], bound_to.encode())
            except Refused:
                continue
    raise Refused("none of these keys opens it here")


def labeled(suite, label, value):
    return b"HPKE-v1" + suite + label + value


def extract(salt, suite, label, value):
    """LabeledExtract of RFC 9180, which is an HMAC."""
    mac = hmac.HMAC(salt or bytes(32), hashes.SHA256())
    mac.update(labeled(suite, label, value))
    return mac.finalize()


def expand(secret, suite, label, info, length):
    """LabeledExpand of RFC 9180."""
    return HKDFExpand(hashes.SHA256(), length, struct.pack(">H", length) + labeled(suite, label, info)).derive(secret)


def open_data_key(keys, text):
    """h1.<key id>.<enc>.<ciphertext>: HPKE base mode with X25519, HKDF-SHA256 and AES-256-GCM, info tidings/raw/v1."""
    version, *rest = text.split(".")
    if version != "h1" or len(rest) != 3:
        raise Refused("no wrapped data key")
    key_id, enc, ciphertext = rest[0], unbase64(rest[1]), unbase64(rest[2])
    private = next((raw for known, _, raw in keys if known == key_id and raw), None)
    if private is None:
        raise Refused(f"generation {key_id} is not there")
    private = X25519PrivateKey.from_private_bytes(private)
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    # Decap (RFC 9180, 4.1), KEM 0x0020.
    kem = b"KEM" + struct.pack(">H", 0x0020)
    agreed = private.exchange(X25519PublicKey.from_public_bytes(enc))
    shared = expand(extract(b"", kem, b"eae_prk", agreed), kem, b"shared_secret", enc + public, 32)
    # KeySchedule (5.1), KDF 0x0001, AEAD 0x0002, mode base.
    suite = b"HPKE" + struct.pack(">HHH", 0x0020, 0x0001, 0x0002)
    schedule = b"\x00" + extract(b"", suite, b"psk_id_hash", b"") + extract(b"", suite, b"info_hash", b"tidings/raw/v1")
    secret = extract(shared, suite, b"secret", b"")
    key = expand(secret, suite, b"key", schedule, 32)
    return decrypt(key, expand(secret, suite, b"base_nonce", schedule, NONCE), ciphertext, b"")


def check(folder):
    """Every file of published vectors; prints how many there were."""
    folder, counts = pathlib.Path(folder), {}

    def cases(name):
        found = json.loads((folder / name).read_text())
        counts[name.removesuffix(".json")] = len(found)
        return found

    def refuses(opens, *arguments):
        try:
            opens(*arguments)
        except Refused:
            return
        raise SystemExit(f"something opened that must not: {arguments}")

    unhex = bytes.fromhex
    for case in cases("labels.json"):
        assert derive(unhex(case["key"]), case["label"]).hex() == case["derived"], case
    for case in cases("contexts.json"):
        assert context(case["context"]).hex() == case["bytes"], case
    for case in cases("records.json"):
        key, sealed = unhex(case["key"]), unhex(case["sealed"])
        assert open_record(key, sealed, case["context"]).hex() == case["plain"], case
        refuses(open_record, key, sealed[:-1], case["context"])
        refuses(open_record, key, sealed, [*case["context"], "x"])
        refuses(open_record, key, sealed[:1] + bytes([sealed[1] ^ 1]) + sealed[2:], case["context"])
    for case in cases("roots.json"):
        [(key_id, secret, raw)] = generations(case["root_line"])
        public = X25519PrivateKey.from_private_bytes(raw).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        edge_line = f"tidings-edge-v1:{key_id}:{derive(secret, 'role/edge').hex()}:{public.hex()}"
        assert (key_id, raw.hex(), edge_line) == (case["key_id"], case["raw_private"], case["edge_line"]), case
    for case in cases("texts.json"):
        keys = generations(case["key_file"])
        assert open_text(keys, case["context"], case["sealed"]).hex() == case["plain"], case
        refuses(open_text, keys, case["context"] + "x", case["sealed"])
    for case in cases("data-keys.json"):
        keys = generations(case["key_file"])
        assert open_data_key(keys, case["wrapped"]).hex() == case["key"], case
        refuses(open_data_key, keys, case["wrapped"][:-4] + "AAAA")
    for case in cases("streams.json"):
        key = unhex(case["key"])
        sealed = (folder / case["file"]).read_bytes() if "file" in case else unhex(case["sealed"])
        if case.get("refused"):
            refuses(open_stream, key, sealed, case["context"])
            continue
        plain = open_stream(key, sealed, case["context"])
        digest = hashes.Hash(hashes.SHA256())
        digest.update(plain)
        assert (len(plain), digest.finalize().hex()) == (case["plain_bytes"], case["plain_sha256"]), case
        refuses(open_stream, key, sealed[:-1], case["context"])
        refuses(open_stream, key, sealed + b"x", case["context"])
        refuses(open_stream, key, sealed, [*case["context"], "x"])
    # From the root key file down to what a person wrote. Each step's key was opened by a step before it.
    chain = json.loads((folder / "chain.json").read_text())
    keys, held = generations(chain["root_file"]), {}
    for step in chain["steps"]:
        label = step.get("label")
        key = held.get(step.get("with"))
        key = derive(key, label) if label else key
        if step["form"] == "text":
            opened = open_text(generations(chain["edge_file"]) if step["with"] == "edge" else keys, step["context"], step["sealed"])
        elif step["form"] == "data-key":
            opened = open_data_key(keys, step["sealed"])
        elif step["form"] == "stream":
            opened = open_stream(key, unhex(step["sealed"]), step["context"])
        else:
            opened = open_record(key, unhex(step["sealed"]), step["context"])
        assert opened.hex() == step["plain"], step
        held[step["name"]] = opened
    counts["chain"] = len(chain["steps"])
    print(f"vectors {sum(counts.values())}: " + " ".join(f"{name}={count}" for name, count in counts.items()))


def given(argument):
    return pathlib.Path(argument[1:]).read_bytes() if argument.startswith("@") else bytes.fromhex(argument)


def main():
    out = sys.stdout.buffer
    match sys.argv[1:]:
        case ["text", file, bound_to, text]:
            out.write(open_text(generations(pathlib.Path(file).read_text()), bound_to, text))
        case ["derive", key, label]:
            print(derive(given(key), label).hex())
        case ["record", key, sealed, *parts] if parts:
            out.write(open_record(given(key), given(sealed), parts))
        case ["stream", key, file, *parts] if parts:
            out.write(open_stream(given(key), pathlib.Path(file).read_bytes(), parts))
        case ["data-key", file, wrapped]:
            print(open_data_key(generations(pathlib.Path(file).read_text()), wrapped).hex())
        case ["check", folder]:
            check(folder)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main()
    except (Refused, ValueError, OSError) as why:
        sys.exit(f"it does not open: {why}")
