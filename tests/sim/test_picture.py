"""A run can be looked at."""

from xml.etree import ElementTree

from tests.sim.scenarios import engines, slow_storm

from shoal.sim.picture import MESSAGES_MAX, ROWS_MAX, SVG_MESSAGES_MAX, Picture
from shoal.sim.run import run_one
from shoal.sim.world import World


def test_a_terminal_drawing_has_a_row_for_each_host() -> None:
    picture = Picture()
    picture.message(0.0, "node2", "node10", 100)
    for _ in range(10):
        picture.message(1.0, "node10", "node2", 100)
    picture.mark(0.5, "node10", "down")
    assert picture.text(40).splitlines() == [
        "node2  |                               █",
        "node10 |·               x               ",
        "11 messages in 1.000 s from 0.000 s on; darker: more; x: crash",
    ]


def test_many_hosts_share_rows() -> None:
    picture = Picture()
    for number in range(95):
        picture.message(number, f"node{number}", f"node{number + 1}", 1)
    lines = picture.text(60).splitlines()
    assert len(lines) == 33 <= ROWS_MAX + 1
    assert lines[0].startswith("node0 +2")
    assert {len(line) for line in lines[:-1]} == {60}


def test_nothing_can_be_drawn_too() -> None:
    assert Picture().text() == "nobody spoke"
    ElementTree.fromstring(Picture().svg())


def test_an_svg_has_a_line_for_each_message_and_a_bar_for_each_absence() -> None:
    picture = Picture()
    picture.message(0.0, "a<b", "c", 100)
    picture.message(2.0, "c", "a<b", 100)
    picture.mark(0.5, "c", "down")
    picture.mark(1.0, "c", "up")
    picture.mark(1.5, "a<b", "down")
    root = ElementTree.fromstring(picture.svg())
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}path")) == 2
    assert len(root.findall(f"{space}rect")) == 3
    assert "a<b to c, 100 bytes" in "".join(root.itertext())


def test_a_long_run_is_remembered_in_part() -> None:
    picture = Picture()
    for number in range(MESSAGES_MAX + 5):
        picture.message(number, "a", "b", 1)
    assert picture.unseen == 5
    assert picture.text().endswith(
        "200,005 messages in 199999.000 s from 0.000 s on; darker: more; x: crash"
    )
    assert picture.svg().count("<circle") == SVG_MESSAGES_MAX


def test_worlds_are_drawn_without_changing_what_happens() -> None:
    for scenario in (slow_storm, engines):
        world = World(3, picture=True)
        assert world.picture is not None
        assert run_one(scenario, 3, world=world) == run_one(scenario, 3)
        assert "x" in world.picture.text() or scenario is engines
        ElementTree.fromstring(world.picture.svg())
