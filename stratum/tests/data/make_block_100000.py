#!/usr/bin/env python3
"""Turns Bitcoin's block 100000 into a Stratum job, using only Python's standard library.

Prints block_100000.jsonl: the messages of the pool, the share that a miner submits, and the resulting header.
"""

import hashlib
import json

HASH = "000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506"
PREVIOUS = "000000000002d01c1fccc21636b607dfd930d31d01c3a62104612a1719011250"
VERSION, TIME, BITS, NONCE = 1, 1293623863, 0x1B04864C, 274148111
COINBASE = (
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff08044c86041b020602ffffffff"
    "0100f2052a010000004341041b0e8c2567c12536aa13357b79a073dc4444acb83c4ec7a0e2f99dd7457516c5817242da796924ca4e9994"
    "7d087fedf9ce467cb9f7c6287078f801df276fdf84ac00000000"
)
TXIDS = [
    "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87",
    "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
    "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4",
    "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d",
]


def sha256d(data):
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def internal(displayed):
    return bytes.fromhex(displayed)[::-1]


assert sha256d(bytes.fromhex(COINBASE)) == internal(TXIDS[0])
branch = [internal(TXIDS[1]), sha256d(internal(TXIDS[2]) + internal(TXIDS[3]))]
root = sha256d(sha256d(internal(TXIDS[0]) + branch[0]) + branch[1])
numbers = [number.to_bytes(4, "little") for number in (VERSION, TIME, BITS, NONCE)]
header = numbers[0] + internal(PREVIOUS) + root + numbers[1] + numbers[2] + numbers[3]
assert sha256d(header) == internal(HASH)

# The script of the coinbase is 04 4c86041b 02 0602. Its last five bytes serve as the extranonces.
coinb1, rest = COINBASE.split("044c86041b020602")
coinb1, extranonce1, extranonce2, coinb2 = coinb1 + "044c86", "041b", "020602", rest
assert coinb1 + extranonce1 + extranonce2 + coinb2 == COINBASE
words = internal(PREVIOUS)
prevhash = b"".join(words[i : i + 4][::-1] for i in range(0, 32, 4)).hex()

notify = ["b", prevhash, coinb1, coinb2, [node.hex() for node in branch]]
notify += [f"{VERSION:08x}", f"{BITS:08x}", f"{TIME:08x}", True]
for line in (
    {"id": 1, "result": [[["mining.notify", "s"]], extranonce1, 3], "error": None},
    {"id": None, "method": "mining.notify", "params": notify},
    {"id": 2, "method": "mining.submit", "params": ["u", "b", extranonce2, f"{TIME:08x}", f"{NONCE:08x}"]},
    {"header": header.hex(), "digest": HASH},
):
    print(json.dumps(line))
