#!/usr/bin/env python3
"""Opens a feed that is encrypted: one compact JWE a line from standard input, one JSON event a line to standard output.

  kcat -C -b BROKERS -t FEED -e -f '%s\\n' | open_feed.py PRIVATE_JWK_FILE

Needs the package `jwcrypto`.
"""
import pathlib
import sys

from jwcrypto import jwe, jwk
from jwcrypto.common import JWException

# Say what may come: a token must not choose its own algorithms.
ALGORITHMS = ["ECDH-ES", "RSA-OAEP-256", "A256GCM"]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    key = jwk.JWK.from_json(pathlib.Path(sys.argv[1]).read_text())
    failed = False
    for line in sys.stdin:
        line = line.strip()
        if not line:
            continue  # A tombstone: whoever wrote this event was forgotten.
        token = jwe.JWE(algs=ALGORITHMS)
        try:
            token.deserialize(line, key)
        except JWException as cause:
            print(f"it does not open: {type(cause).__name__}", file=sys.stderr)
            failed = True
            continue
        sys.stdout.buffer.write(token.payload + b"\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
