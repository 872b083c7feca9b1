"""No name that a stranger chose leads out of the folder."""

from hypothesis import given, strategies as st

from shoal.swarm.paths import DEPTH_MAX, PART_MAX, PATH_MAX, safe_part, safe_parts, told_apart


def test_parts_are_cleaned_as_libtorrent_does():
    assert safe_parts([b"..", b"x"]) == ("_", "x")
    assert safe_part(b"a/b") == "ab"
    assert safe_part(b"a\nb") == "a_b"
    assert safe_part(b"/abs") == "abs"
    assert safe_part(b"../../etc/x") == "....etcx"
    assert safe_part(b"a\xffb") == "a_b"
    assert safe_part("invoice\u202efdp.exe") == "invoicefdp.exe"


def test_names_are_good_on_every_system():
    assert safe_part("CON") == "_CON"
    assert safe_part("aux.txt") == "_aux.txt"
    assert safe_part("Com1") == "_Com1"
    assert safe_part("a:b|c") == "a_b_c"
    assert safe_part("name. .") == "name"
    assert safe_part("...") == "_"
    assert safe_part("e\u0301") == "\u00e9"


def test_long_names_keep_their_ending():
    part = safe_part("\u00e4" * 300 + ".txt")
    assert part.endswith(".txt")
    assert len(part.encode()) <= PART_MAX


def test_long_and_deep_paths_are_cut():
    assert len("/".join(safe_parts(["x" * 200] * 30)).encode()) <= PATH_MAX
    assert len(safe_parts(["x"] * 500)) == DEPTH_MAX


def test_equal_names_are_told_apart_and_a_folder_keeps_its_own():
    paths = [("a",), ("a",), ("A",), ("a", "b")]
    assert told_apart(paths) == [("a.1",), ("a.2",), ("A.3",), ("a", "b")]
    assert told_apart([("x.txt",), ("X.TXT",)]) == [("x.txt",), ("X.1.TXT",)]
    assert told_apart([("\u00e9",), ("e\u0301",)])[1] != ("e\u0301",)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_any_bytes_become_a_harmless_path(raw):
    for part in safe_parts(raw):
        assert part not in ("", ".", "..")
        assert not set(part) & set('/\\\0:*?"<>|')
        assert part == safe_part(part)
        part.encode()


@given(st.lists(st.lists(st.sampled_from("aAb"), min_size=1, max_size=3), max_size=8))
def test_paths_never_collide(paths):
    result = told_apart([tuple(path) for path in paths])
    lower = [tuple(part.lower() for part in path) for path in result]
    assert len(set(lower)) == len(lower)
    folders = {path[:depth] for path in lower for depth in range(1, len(path))}
    assert not folders & set(lower)
