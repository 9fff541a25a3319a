import random
import zlib

from common.crc32 import joined_crc


def test_is_that_of_the_whole():
    generator = random.Random(0)
    for length in (0, 1, 2, 7, 8, 100, 4095, 196_608):
        first, second = generator.randbytes(generator.randrange(300)), generator.randbytes(length)
        joined = joined_crc(zlib.crc32(first), zlib.crc32(second), length)
        assert joined == zlib.crc32(first + second)
