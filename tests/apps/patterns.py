"""A body of any size whose every block differs, so that a lost or swapped block changes the hash."""

import hashlib

BLOCK = 65536


def block(index):
    seed = hashlib.sha256(index.to_bytes(8, "big")).digest()
    return seed * (BLOCK // len(seed))


def pieces(size):
    for index in range((size + BLOCK - 1) // BLOCK):
        yield block(index)[: min(BLOCK, size - index * BLOCK)]


def digest(size):
    total = hashlib.sha256()
    for piece in pieces(size):
        total.update(piece)
    return total.hexdigest()
