"""A node counts cheaply, within bounds, and Prometheus can read it."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shoal.errors import UsageError
from shoal.metrics import MEMBERS_MAX, Metrics


def test_the_page_is_what_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.counter("datagrams_total", "datagrams sent").value += 3
    metrics.gauge("peers", "peers connected").value = 2
    dials = metrics.counters("dials_total", "dials by transport and end", "transport", "end")
    dials.of("tcp", "ok").value += 1
    dials.of("tcp", 'said "no"\n\\').value += 2
    assert metrics.text().splitlines() == [
        "# HELP shoal_datagrams_total datagrams sent",
        "# TYPE shoal_datagrams_total counter",
        "shoal_datagrams_total 3",
        "# HELP shoal_dials_total dials by transport and end",
        "# TYPE shoal_dials_total counter",
        'shoal_dials_total{transport="tcp",end="ok"} 1',
        'shoal_dials_total{transport="tcp",end="said \\"no\\"\\n\\\\"} 2',
        "# HELP shoal_peers peers connected",
        "# TYPE shoal_peers gauge",
        "shoal_peers 2",
    ]
    assert metrics.text().endswith("\n")


def test_prometheus_own_parser_reads_what_we_counted() -> None:
    metrics = Metrics()
    metrics.gauges("load", 'how "busy"\nit is \\', "by").of('a "b"\n\\c').value = -0.5
    metrics.counters("dials_total", "dials", "transport").of("tcp").value += 2
    metrics.histogram("wait_seconds", "waits", bounds=(0.1, 1.0)).observe(0.5)
    families = {family.name: family for family in text_string_to_metric_families(metrics.text())}
    assert {name: family.type for name, family in families.items()} == {
        "shoal_load": "gauge",
        "shoal_dials": "counter",
        "shoal_wait_seconds": "histogram",
    }
    load = families["shoal_load"]
    assert load.documentation == 'how "busy"\nit is \\'
    assert (load.samples[0].labels, load.samples[0].value) == ({"by": 'a "b"\n\\c'}, -0.5)
    counts = [sample.value for sample in families["shoal_wait_seconds"].samples]
    assert counts == [0, 1, 1, 0.5, 1]


def test_a_histogram_counts_up_to_and_with_each_bound() -> None:
    metrics = Metrics()
    waits = metrics.histogram("wait_seconds", "waits", bounds=(0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        waits.observe(value)
    assert metrics.text().splitlines()[2:] == [
        'shoal_wait_seconds_bucket{le="0.1"} 2',
        'shoal_wait_seconds_bucket{le="1.0"} 3',
        'shoal_wait_seconds_bucket{le="+Inf"} 4',
        "shoal_wait_seconds_sum 7.65",
        "shoal_wait_seconds_count 4",
    ]


def test_a_histogram_may_have_labels() -> None:
    metrics = Metrics()
    metrics.histograms("wait_seconds", "waits", "for", bounds=(1,)).of("dht").observe(2)
    assert 'shoal_wait_seconds_bucket{for="dht",le="1"} 0' in metrics.text()


def test_a_gauge_is_read_when_somebody_looks() -> None:
    metrics = Metrics()
    peers: list[str] = []
    metrics.gauge("peers", "peers connected", lambda: len(peers))
    peers.append("a")
    assert "shoal_peers 1\n" in metrics.text()


def test_labels_that_peers_choose_cannot_fill_the_memory() -> None:
    metrics = Metrics()
    agents = metrics.counters("agents_total", "peers by agent", "agent")
    for number in range(10 * MEMBERS_MAX):
        agents.of(f"agent {number}").value += 1
    lines = [line for line in metrics.text().splitlines() if not line.startswith("#")]
    assert len(lines) == MEMBERS_MAX + 1
    assert f'shoal_agents_total{{agent="other"}} {9 * MEMBERS_MAX}' in lines


def test_the_same_name_is_the_same_counter() -> None:
    metrics = Metrics()
    metrics.counter("a_total", "a").value += 1
    metrics.counter("a_total", "a").value += 1
    assert "shoal_a_total 2\n" in metrics.text()


def test_a_name_has_one_kind_and_one_set_of_labels() -> None:
    metrics = Metrics()
    metrics.counter("a_total", "a")
    with pytest.raises(UsageError):
        metrics.gauge("a_total", "a")
    with pytest.raises(UsageError):
        metrics.counters("a_total", "a", "label")
    with pytest.raises(UsageError):
        metrics.counters("b_total", "b", "label").of("x", "y")


@pytest.mark.parametrize("name", ["", "1a", "A", "a-b", 'a{b="c"}'])
def test_a_name_that_prometheus_refuses_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        Metrics().counter(name, "x")


def test_infinity_and_no_number_have_their_own_words() -> None:
    metrics = Metrics()
    for name, value in (("a", math.inf), ("b", -math.inf), ("c", math.nan)):
        metrics.gauge(name, "x").value = value
    values = [line.split()[-1] for line in metrics.text().splitlines() if line[0] != "#"]
    assert values == ["+Inf", "-Inf", "NaN"]
