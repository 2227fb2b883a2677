"""The demo's own proof: what was archived is what was published, event by event; and the summary."""

from dataclasses import dataclass, field
from typing import Any

from console.commands.asking import body_of, told
from console.commands.pages import counts_line, health_word
from console.demo.stage import Played, fingerprint
from console.exporting import pages
from console.link import Link
from console.measure import many, rate
from controlplane.questions import AskStatus, Counts, Status

NAMED_MAX = 5


@dataclass
class Verdict:
    """`lost`: published and acked, but not archived. `changed`: archived with other content. `extra`: nobody published.

    `twice`: archived more than once. All of them are ids; all empty means that archived = published.
    """

    archived: int = 0
    lost: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """Archived = published."""
        return not (self.lost or self.changed or self.extra or self.twice)


def compare(link: Link, published: dict[str, bytes], before: set[str]) -> Verdict:
    """Export everything and compare it with what was acked. `before` are ids that were archived when the play began."""
    verdict = Verdict()
    seen: set[str] = set()
    for page in pages(link):
        for line in page.lines:
            id = id_of(line)
            if id in before and id not in published:
                continue
            verdict.archived += 1
            if id in seen:
                verdict.twice.append(id)
            elif id not in published:
                verdict.extra.append(id)
            elif published[id] != fingerprint(line):
                verdict.changed.append(id)
            seen.add(id)
    verdict.lost = [id for id in published if id not in seen]
    return verdict


def id_of(line: str) -> str:
    """The id of an event's JSON."""
    import bus

    return bus.from_json(line).id


def archived_ids(link: Link) -> set[str]:
    """All ids in the archive by now."""
    return {id_of(line) for page in pages(link) for line in page.lines}


def status(link: Link) -> Status:
    """The fleet now."""
    return body_of(told(link, AskStatus()), Status)


@dataclass
class Summary:
    """What the demo prints at its end; JSON shows all of it."""

    published: int
    archived: int
    per_second: float
    run_seconds: float
    joined: int
    not_published: int
    lost: list[str]
    changed: list[str]
    extra: list[str]
    twice: list[str]
    groups: list[dict[str, Any]]
    counts: Counts
    ok: bool
    problems: list[str]


def summary(played: Played, verdict: Verdict, there: Status) -> Summary:
    """All figures, and every problem as a sentence."""
    problems = []
    for what, ids in (
        ("were published and are not in the archive", verdict.lost),
        ("came out of the archive changed", verdict.changed),
        ("are in the archive and were not published", verdict.extra),
        ("are in the archive more than once", verdict.twice),
    ):
        if ids:
            named = ", ".join(ids[:NAMED_MAX]) + (", …" if len(ids) > NAMED_MAX else "")
            problems.append(f"{many(len(ids), 'event')} {what}: {named}")
    if played.failed:
        problems.append(f"{many(played.failed, 'event was', 'events were')} not acked: {played.error}")
    elif played.error:
        problems.append(played.error)
    if not played.drained:
        problems.append("the consumers did not get all of their events")
    groups = [
        {"group": group.group, "acked": group.acked, "retried": group.retried, "given_up": group.given_up}
        for group in played.groups
    ]
    return Summary(
        published=len(played.published),
        archived=verdict.archived,
        per_second=round(len(played.published) / max(played.seconds, 1e-3), 1),
        run_seconds=round(played.seconds, 3),
        joined=played.joined,
        not_published=played.failed,
        lost=verdict.lost,
        changed=verdict.changed,
        extra=verdict.extra,
        twice=verdict.twice,
        groups=groups,
        counts=there.counts,
        ok=not problems,
        problems=problems,
    )


def text(shown: Summary) -> str:
    """The summary for people."""
    value, unit = rate(shown.per_second)
    balance = "●" if shown.archived == shown.published and shown.ok else "■"
    lines = [
        f"published  {many(shown.published, 'event')} in {shown.run_seconds:.1f} s ({value} {unit}), "
        f"{many(shown.joined, 'agent')}",
        f"archived   {many(shown.archived, 'event')}  {balance} "
        + ("each one as it was published" if shown.ok else "see below"),
    ]
    lines += [
        f"{group['group']:<10} acked {group['acked']:,}, again {group['retried']:,}, gave up {group['given_up']:,}"
        for group in shown.groups
    ]
    lines += [f"state      {counts_line(shown.counts)}", f"health     {health_word(shown.counts)}"]
    lines += [f"■ {problem}" for problem in shown.problems]
    return "\n".join(lines)
