"""What was seen of a machine and its network, put into words: no I/O.

What a router does is judged by what others see.  The same local port is seen by
several strangers; if all see one address, its mapping does not depend on whom we
talk to (RFC 4787: endpoint-independent), and peers who both know the other's
address can open a way.  If each sees another port, only a peer that can be
reached by itself, or a relay, can help.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

Address = tuple[str, int]  # host as text, port
GOOD, LIMITED, BAD, UNKNOWN = "good", "limited", "bad", "unknown"
CLOCK_MAX = 60.0  # seconds: records and certificates are allowed about as much
FILES_SPARE = 64  # descriptors beside the connections: files, sockets, pipes


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    about: str
    state: str  # good, limited, bad or unknown
    says: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one stranger answered to a datagram."""

    by: Address
    as_: Address | None  # our address as it sees it; None: it did not say


def judge_udp(asked: Sequence[Address], seen: Sequence[Seen], why: str) -> Finding:
    """`why`: the reason if nobody was asked."""
    if not asked:
        return Finding("UDP", UNKNOWN, why)
    said = f"{len(seen)} of {len(asked)} nodes answered"
    if seen:
        return Finding("UDP", GOOD, f"datagrams go out and come back: {said}")
    advice = "a firewall may drop UDP; without it there is no DHT, but TCP still works"
    return Finding("UDP", BAD, f"nothing came back: {said}", advice)


def judge_nat(local: Iterable[str], port: int, seen: Sequence[Seen]) -> Finding:
    """`local`: our own addresses; `port`: from which all were asked."""
    told = [each.as_ for each in seen if each.as_ is not None]
    if not told:
        return Finding("NAT", UNKNOWN, "nobody told under which address it sees us")
    hosts, ports = {host for host, _ in told}, {number for _, number in told}
    if hosts <= set(local):
        return Finding("NAT", GOOD, f"none: others see {told[0][0]}, our own address")
    where = f"others see {', '.join(sorted(hosts))}"
    if len(told) < 2:
        return Finding("NAT", UNKNOWN, f"there is one ({where}); its kind needs a second answer")
    if len(hosts) == 1 and len(ports) == 1:
        kept = "and keeps the port" if ports == {port} else f"and makes port {port} {ports.pop()}"
        says = f"one mapping for everybody ({where}, {kept}): peers can open a way to us"
        advice = f"a forwarded port {port} on the router would let anybody reach us"
        return Finding("NAT", LIMITED, says, advice)
    says = f"another port for everybody we talk to ({where}): peers cannot open a way to us"
    return Finding("NAT", BAD, says, "forward a port on the router, or let peers that we dial help")


def judge_reach(nat: Finding, inbound: int | None) -> Finding:
    """`inbound`: connections that others opened to the node that runs; None: none runs."""
    about = "reachability"
    if inbound:
        return Finding(about, GOOD, f"others opened {inbound} of our connections")
    if nat.state == GOOD:
        says = "our address is public; whether a firewall lets others in, only they can tell"
        return Finding(about, UNKNOWN, says, "`shoal up` and then `shoal doctor` tells who came")
    if nat.state == UNKNOWN:
        return Finding(about, UNKNOWN, "nothing is known of our address")
    return Finding(about, LIMITED, "we reach others; they reach us only where we dialled first")


def judge_ipv6(address: str | None) -> Finding:
    if address is None or not ip_address(address).is_global:
        advice = "IPv4 is enough for everything here; with IPv6 fewer peers are behind routers"
        return Finding("IPv6", LIMITED, "there is no way to the IPv6 internet", advice)
    return Finding("IPv6", GOOD, f"{address} can reach the IPv6 internet")


def judge_clock(offset: float | None, why: str) -> Finding:
    """`offset`: seconds by which our clock is behind (above 0) or ahead."""
    if offset is None:
        return Finding("clock", UNKNOWN, why)
    way = "behind" if offset > 0 else "ahead"
    says = f"{abs(offset):.2f} s {way}"
    if abs(offset) <= CLOCK_MAX:
        return Finding("clock", GOOD, says)
    advice = "set the clock: signed records and certificates seem expired, or not yet valid"
    return Finding("clock", BAD, says, advice)


def judge_files(limit: int, connections: int) -> Finding:
    """`limit`: file descriptors this process may have."""
    needed = connections + FILES_SPARE
    if limit >= needed:
        return Finding("open files", GOOD, f"{limit} are allowed, {needed} may be needed")
    says = f"{limit} are allowed, {needed} may be needed for {connections} connections"
    return Finding("open files", LIMITED, says, f"`ulimit -n {needed}`, or a lower limit here")


def judge_extras(fast: dict[str, bool], missing: Sequence[str]) -> list[Finding]:
    """`fast`: what makes Shoal quicker -> is it there; `missing`: extras not installed."""
    there = [name for name, found in fast.items() if found]
    absent = [name for name, found in fast.items() if not found]
    says = f"in use: {', '.join(there) or 'none'}"
    advice = f"install {', '.join(absent)}" if absent else ""
    found = [Finding("fast paths", LIMITED if absent else GOOD, says, advice)]
    if missing:
        named = ", ".join(missing)
        found.append(Finding("extras", LIMITED, f"not installed: {named}", "needed only if used"))
    else:
        found.append(Finding("extras", GOOD, "everything that Shoal can use is installed"))
    return found


def summarise(findings: Sequence[Finding]) -> str:
    """The answer, in one sentence, before the rows."""
    bad = [each.about for each in findings if each.state == BAD]
    limited = [each.about for each in findings if each.state == LIMITED]
    unknown = [each.about for each in findings if each.state == UNKNOWN]
    if bad:
        return f"Something is wrong: {', '.join(bad)}."
    if limited:
        return f"This machine can take part; what could be better: {', '.join(limited)}."
    if unknown:
        return f"Nothing that was looked at is in the way; not known: {', '.join(unknown)}."
    return "This machine can take part, and nothing is in the way."
