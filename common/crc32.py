"""The CRC-32 of bytes that were summed up apart."""

from __future__ import annotations

from functools import lru_cache

POLYNOMIAL = 0xEDB88320  # of CRC-32, x^0 in the highest bit
ONE, X_TO_8 = 1 << 31, 1 << 23


def joined_crc(first: int, second: int, length: int) -> int:
    """Returns the CRC-32 of bytes of the CRC-32 `first`, and then `length` bytes of `second`.

    As zlib's `crc32_combine`, which Python does not offer: `first` is multiplied by
    x^(8 * length), modulo the polynomial.
    """
    return _product(_power(length), first) ^ second


@lru_cache(maxsize=1024)
def _power(length: int) -> int:
    """Returns x^(8 * length) by repeated squaring."""
    result, square = ONE, X_TO_8
    while length:
        if length & 1:
            result = _product(square, result)
        square = _product(square, square)
        length >>= 1
    return result


def _product(a: int, b: int) -> int:
    """Multiplies two polynomials over GF(2), modulo that of CRC-32."""
    product = 0
    for power in range(31, -1, -1):
        if a >> power & 1:
            product ^= b
        b = b >> 1 ^ (POLYNOMIAL if b & 1 else 0)
    return product
