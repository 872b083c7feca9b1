"""Who sent a block that was wrong is found by comparing it with the good one."""

from shoal.swarm.blame import Blame


def test_whose_block_differs_from_the_good_one_is_guilty():
    blame = Blame([1, 2, 1, 3], [b"a", b"b", b"c", b"d"])
    assert blame.suspects == [1, 2, 3]
    assert blame.guilty([b"a", b"x", b"c", b"d"]) == [2]
