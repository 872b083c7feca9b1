"""Bytes of pieces are found in their files, and the other way round."""

from hypothesis import given, strategies as st

from shoal.swarm.layout import File, Layout, Span


def layout(*sizes: int, piece: int = 10, aligned: bool = False, pads: str = "") -> Layout:
    files, at = [], 0
    for number, size in enumerate(sizes):
        if aligned and size:
            at = -(-at // piece) * piece
        files.append(File((str(number),), size, at, pad=str(number) in pads))
        at += size
    return Layout(files, piece, aligned=aligned)


def test_a_piece_may_cross_files_in_v1():
    line = layout(4, 0, 3, 8)
    assert line.count == 2
    assert list(line.spans(0, 0, 10)) == [Span(0, 0, 4), Span(2, 0, 3), Span(3, 0, 3)]
    assert list(line.spans(1, 1, 3)) == [Span(3, 4, 3)]
    assert (line.piece_size(0), line.piece_size(1)) == (10, 5)


def test_in_v2_a_piece_ends_with_its_file():
    line = layout(4, 0, 25, aligned=True)
    assert line.count == 4
    assert [line.piece_size(piece) for piece in range(4)] == [4, 10, 10, 5]
    assert list(line.spans(3, 0, 5)) == [Span(2, 20, 5)]
    assert [line.pieces_of(index) for index in range(3)] == [range(1), range(0), range(1, 4)]


def test_a_pad_is_hashed_but_does_not_travel():
    line = layout(14, 6, 3, 7, pads="13")
    assert [line.piece_size(piece) for piece in range(3)] == [10, 10, 10]
    assert [line.data_size(piece) for piece in range(3)] == [10, 4, 3]
    assert line.size == 17


def test_a_piece_of_nothing_but_pad_has_no_data():
    line = layout(10, 25, pads="1")
    assert [line.data_size(piece) for piece in range(4)] == [10, 0, 0, 0]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.booleans())
def test_spans_cover_every_byte_once(sizes, aligned):
    line = layout(*sizes, aligned=aligned)
    seen: dict[int, int] = {}
    for piece in range(line.count):
        spans = list(line.spans(piece, 0, line.piece_size(piece)))
        assert sum(span.length for span in spans) == line.piece_size(piece)
        for span in spans:
            assert seen.get(span.file, 0) == span.offset
            seen[span.file] = span.offset + span.length
            assert piece in line.pieces_of(span.file)
    assert seen == {number: size for number, size in enumerate(sizes) if size}
