"""Hash trees give the roots and answers that libtorrent gives."""

import pytest
from tests.swarm.contents import counting

from shoal.errors import ProtocolError
from shoal.swarm.merkle import (
    HashRequest,
    HashTree,
    block_hashes,
    file_root,
    height_of,
    layer_requests,
    proven,
    root_of,
    zero,
)

ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    16384: "4348e3b98e8a327b34ced39c1da9e67cdb4cd5e48e4d7960607a3ae403d35f0c",
    16385: "9d7887c65d577a0237fb3c0998b87b3a62762d03796889a2caea01db914ccbb8",
    40000: "ab671631a9fa97a1fdac651fff6c68773b9acf0735b9c7f6ecdd54cbf1bf5dc2",
    100000: "505fc9a922f60ae071450b07256a4ba760612bffc38c27584ed03fd96c69841b",
}
LAYER = [
    "d9e13d0b676ad681164ef0b7b5910d1328ea83a047cad57e619d76bbe3a08525",
    "e28097eaaa55956702cf8195d1a551dbabb63e3d679b294cf33d506a6b5ef479",
    "c652249676984ba0be8db1d26efa9e0c67cd14299b02eaab326419a0f91a1aec",
    "ef72b5ef0b29bacc8de6bc437f8a488da617d064457122b7db2c4092374151f9",
]
ROOT = bytes.fromhex(ROOTS[100000])


def blocks(size: int) -> list[bytes]:
    return block_hashes(memoryview(counting(size)))


def test_the_root_of_a_file_is_the_known_one():
    for size, root in ROOTS.items():
        hashes = blocks(size)
        assert root_of(hashes, height_of(len(hashes))).hex() == root


def test_the_root_above_a_piece_layer_is_the_root_above_the_blocks():
    assert file_root([bytes.fromhex(each) for each in LAYER], 1) == ROOT


def test_a_subtree_without_data_has_a_known_root():
    assert zero(1).hex().startswith("f5a5fd42d16a2030")
    assert zero(2).hex().startswith("db56114e00fdd4c1")
    assert zero(3).hex().startswith("c78009fdf07fc56a")


ANSWERS = {
    (0, 0, 8, 0): "4348e3b9 f7c9045c 597f8185 e20f1d51 10f13f06 32aad31c 411477fb 00000000",
    (0, 0, 2, 2): "4348e3b9 f7c9045c e28097ea 7dce88ae",
    (0, 6, 2, 2): "411477fb 00000000 c6522496 2d6b5462",
    (1, 0, 2, 1): "d9e13d0b e28097ea 7dce88ae",
    (1, 0, 4, 0): "d9e13d0b e28097ea c6522496 ef72b5ef",
    (1, 0, 4, 1): "d9e13d0b e28097ea c6522496 ef72b5ef",
}


@pytest.mark.parametrize("asked", ANSWERS)
def test_a_request_is_answered_as_libtorrent_does(asked):
    answer = HashTree(blocks(100_000), 0).answer(HashRequest(ROOT, *asked))
    assert " ".join(each.hex()[:8] for each in answer) == ANSWERS[asked]


@pytest.mark.parametrize(
    "asked",
    [
        (3, 0, 2, 0), (0, 0, 2, 3), (1, 0, 2, 2), (0, 8, 2, 0), (0, 0, 16, 0),
        (0, 0, 3, 0), (0, 1, 2, 0), (0, 0, 0, 0), (0, 0, 1 << 14, 0),
    ],
)  # fmt: skip
def test_an_impossible_request_is_refused(asked):
    with pytest.raises(ProtocolError):
        HashTree(blocks(100_000), 0).answer(HashRequest(ROOT, *asked))


def test_a_tree_that_knows_pieces_only_refuses_to_speak_of_blocks():
    tree = HashTree([bytes.fromhex(each) for each in LAYER], 1)
    assert tree.root == ROOT
    with pytest.raises(ProtocolError):
        tree.answer(HashRequest(ROOT, 0, 0, 2, 0))


def test_we_ask_for_a_layer_as_libtorrent_does():
    assert layer_requests(ROOT, 1, 4) == [HashRequest(ROOT, 1, 0, 4, 0)]


@pytest.mark.parametrize("pieces", [2, 3, 4, 5, 512, 513, 1500])
def test_every_run_of_a_layer_can_be_proven(pieces):
    tree = HashTree([bytes([i % 256]) * 32 for i in range(pieces)], 2)
    gathered = []
    for request in layer_requests(tree.root, 2, pieces):
        answer = tree.answer(request)
        assert proven(request, answer, tree.height)
        assert not proven(request, [*answer[:-1], bytes(32)], tree.height)
        assert not proven(request, answer[:-1], tree.height)
        gathered += answer[: request.length]
    assert gathered[:pieces] == tree.layers[0][:pieces]
