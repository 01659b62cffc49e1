"""Memory that is free again goes back to the system."""

import subprocess
import sys

FREES_BELOW_WHAT_STAYS = """
from outfitter_agent.hands.heap import give_back

def resident_kilobytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

blocks = [bytearray(b"x" * 5000) for _ in range(10_000)]
stays = bytearray(b"x" * 5000)
blocks.append(blocks)
del blocks
before = resident_kilobytes()
give_back()
print(before - resident_kilobytes())
"""


def test_free_memory_goes_back_to_the_system():
    ran = subprocess.run(
        [sys.executable, "-c", FREES_BELOW_WHAT_STAYS], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) > 40_000
