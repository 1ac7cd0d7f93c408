"""docs/trust.md: a pure function of what the stages wrote and of the catalogue that they are to cover."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.bounds import GRADES
from tests.trust.lines import Certified, Flagged, Judged, Line, Measured, Start, only
from tests.trust.reviewed import BLIND, EQUIVALENT, reason

NOT_RUN = "*not run*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A control, as the page needs it."""

    id: str
    family: str
    check: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A sound loss, as the page needs it."""

    id: str
    value: str
    gradient: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All that the page must name, run or not."""

    oracles: Mapping[str, float | None]
    """Contracts, with the ulp of their kept certificates."""
    controls: Sequence[Planted]
    checks: Sequence[str]
    mutants: Mapping[str, Mapping[str, str]]
    """Mutants of each specimen: the key of the result, and that of the mutant."""
    sound: Sequence[Kept]
    dtypes: Sequence[str]
    seeds: Sequence[int]
    """Of the sound losses."""
    other_seeds: Sequence[int]
    """Of the certificates."""


def catalogue() -> Catalogue:
    """That of this repository."""
    from harness import registry
    from harness.certificates import certificates
    from harness.plan import catalogue as checks
    from tests.controls import CONTROLS
    from tests.sound import SOUND
    from tests.sound.declare import ALL
    from tests.test_sound import SEEDS, identity
    from tests.trust.mutation import SPECIMENS, digest, mutants_of
    from tests.trust.stages import OTHER_SEEDS

    kept = certificates()
    return Catalogue(
        oracles={name: kept[name].ulp if name in kept else None for name in registry.contracts()},
        controls=[Planted(id=c.id, family=c.family, check=c.check) for c in CONTROLS],
        checks=[c.name for c in checks()],
        mutants={s: {f"{s} {digest(s)} {m.key}": m.key for m in mutants_of(s)} for s in SPECIMENS},
        sound=[Kept(id=identity(s), value=s.grade, gradient=s.gradient or s.grade) for s in SOUND],
        dtypes=ALL,
        seeds=SEEDS,
        other_seeds=OTHER_SEEDS,
    )


# -- pieces ------------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of markdown; columns whose head ends in # are numbers."""
    marks = ["---:" if h.endswith("#") else "---" for h in head]
    cells = [[h.rstrip("#") for h in head], marks, *([_cell(v) for v in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells) + "\n"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def percent(part: int, whole: int) -> str:
    """Rounded down to a tenth: 100 is all of it."""
    return f"{math.floor(1000 * part / whole) / 10:g} %" if whole else "-"


def of(part: int, whole: int) -> str:
    """How much of it was run."""
    return NOT_RUN if not part else f"{part}" if part == whole else f"{part} of {whole}"


# -- sections ----------------------------------------------------------------------------------------------------------


def _oracles(lines: Sequence[Line], known: Catalogue) -> str:
    found: defaultdict[str, list[Certified]] = defaultdict(list)
    for line in only(lines, Certified):
        found[line.contract].append(line)
    rows = []
    for name, kept in known.oracles.items():
        mine = found[name]
        worst = max(mine, key=lambda c: c.ulp, default=None)
        rows.append(
            (
                code(name),
                "none" if kept is None else f"{kept:.2f}",
                of(len(mine), len(known.other_seeds)),
                sum(c.rows for c in mine),
                f"{worst.ulp:.2f}" if worst else NOT_RUN,
                code(worst.output) if worst else "",
            )
        )
    return table(("Contract", "certificate, ulp#", "other seeds#", "rows#", "worst, ulp#", "output"), rows)


def _planted(lines: Sequence[Line], known: Catalogue, what: str, group: Callable[[Planted], str]) -> str:
    results = {(r.control, r.effort): r.flagged for r in only(lines, Flagged)}
    rows = []
    for name in sorted({group(c) for c in known.controls}):
        mine = [c.id for c in known.controls if group(c) == name]
        quick = [results[c, "quick"] for c in mine if (c, "quick") in results]
        missed = [c for c in mine if results.get((c, "quick")) is False]
        later = [results[c, "ci"] for c in missed if (c, "ci") in results]
        rest = "-" if not missed else NOT_RUN if not later else sum(later)
        none = len(mine) - len(quick)
        rows.append((name, len(mine), sum(quick) if quick else NOT_RUN, rest, later.count(False), none))
    return table((what, "controls#", "at quick#", "only at ci#", "never#", "not run#"), rows)


def _controls(lines: Sequence[Line], known: Catalogue) -> str:
    ids = {c.id for c in known.controls}
    missed = [r for r in only(lines, Flagged) if r.control in ids and not r.flagged]
    idle = sorted(set(known.checks) - {c.check for c in known.controls})
    text = _planted(lines, known, "family", lambda c: c.family) + "\n"
    text += _planted(lines, known, "check", lambda c: code(c.check))
    if idle:
        named = ", ".join(map(code, idle))
        text += f"\nWithout controls here, being about kept losses or about losses without a contract: {named}.\n"
    if missed:
        text += "\nNot flagged:\n\n"
        text += table(("control", "check", "effort"), [(r.control, code(r.check), r.effort) for r in missed])
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The mutants of a specimen."""

    all: int
    killed: Sequence[Judged]
    same: Sequence[Judged]
    """Reviewed as equivalent."""
    noted: Sequence[Judged]
    """Reported as a note: what may be the choice of the author of a loss."""
    left: Sequence[Judged]
    """Survivors beside these."""

    @property
    def run(self) -> int:
        return len(self.killed) + len(self.same) + len(self.noted) + len(self.left)


def tally(results: Mapping[str, Judged], keys: Mapping[str, str]) -> Tally:
    mine = [results[key] for key in keys if key in results]
    alive = [r for r in mine if not r.killed]
    noted = [r for r in alive if r.by]
    same = [r for r in alive if not r.by and reason(r.specimen, r.mutant, EQUIVALENT)]
    left = [r for r in alive if not r.by and r not in same]
    return Tally(all=len(keys), killed=[r for r in mine if r.killed], same=same, noted=noted, left=left)


def _row(name: str, t: Tally) -> tuple[object, ...]:
    score = percent(len(t.killed), len(t.killed) + len(t.left)) if t.run else NOT_RUN
    return name, t.all, of(t.run, t.all), len(t.killed), len(t.same), len(t.noted), len(t.left), score


def _survivors(left: Iterable[Judged], said: Callable[[Judged], str]) -> list[tuple[object, ...]]:
    """One row for a place, whatever the specimens that it survives in."""
    places: defaultdict[str, list[Judged]] = defaultdict(list)
    for r in left:
        places[r.mutant].append(r)
    return [
        (code(key), min(r.line for r in found), len(found), said(found[0])) for key, found in sorted(places.items())
    ]


def _mutants(lines: Sequence[Line], known: Catalogue) -> str:
    results = {r.key: r for r in only(lines, Judged)}
    tallies = {s: tally(results, keys) for s, keys in known.mutants.items()}
    whole = Tally(
        all=sum(t.all for t in tallies.values()),
        killed=[r for t in tallies.values() for r in t.killed],
        same=[r for t in tallies.values() for r in t.same],
        noted=[r for t in tallies.values() for r in t.noted],
        left=[r for t in tallies.values() for r in t.left],
    )
    head = ("sound loss", "mutants#", "run#", "killed#", "equivalent#", "noted#", "survived#", "score#")
    text = table(head, [*(_row(s, t) for s, t in tallies.items()), _row("**all**", whole)])
    keys = [key for mine in known.mutants.values() for key in mine]
    broken = [r for r in results.values() if not r.mutant and r.killed]
    wrong = [r.specimen for r in broken if any(key.startswith(r.key) for key in keys)]
    if wrong:
        text += f"\nFails as it is, so that its mutants say nothing: {', '.join(wrong)}.\n"
    by = Counter(r.by for r in whole.killed)
    text += "\nWhat killed them:\n\n" + table(("by", "mutants#"), [(code(n), c) for n, c in by.most_common()])
    columns = ("mutant", "line#", "specimens#")
    if whole.left:
        text += "\nSurvivors that are other losses, or were not reviewed:\n\n"
        rows = _survivors(whole.left, lambda r: reason(r.specimen, r.mutant, BLIND) or "not reviewed")
        text += table((*columns, "what is not looked at"), rows)
    if whole.noted:
        text += "\nReported, as a note that fails nothing:\n\n"
        text += table((*columns, "note"), _survivors(whole.noted, lambda r: r.shows))
    if whole.same:
        text += "\nSurvivors that are equivalent:\n\n"
        text += table((*columns, "why"), _survivors(whole.same, lambda r: reason(r.specimen, r.mutant, EQUIVALENT)))
    return text


def _worst(grades: Iterable[str]) -> str:
    known = [g for g in grades if g]
    return max(known, key=GRADES.index) if known else "-"


def _sound(lines: Sequence[Line], known: Catalogue) -> str:
    found: defaultdict[str, list[Measured]] = defaultdict(list)
    for line in only(lines, Measured):
        found[line.sound].append(line)
    rows = []
    for kept in known.sound:
        mine = found[kept.id]
        dtypes = [d for d in known.dtypes if any(m.dtype == d for m in mine)]
        alarms = "; ".join(dict.fromkeys(f"{m.dtype}, seed {m.seed}: {m.shows}" for m in mine if m.shows))
        rows.append(
            (
                kept.id,
                kept.value,
                _worst(m.value for m in mine) if mine else NOT_RUN,
                kept.gradient,
                _worst(m.gradient for m in mine) if mine else NOT_RUN,
                ", ".join(dtypes) or NOT_RUN,
                of(len(mine), len(known.dtypes) * len(known.seeds)),
                "/".join(sorted({m.effort for m in mine})) or "-",
                (alarms or "none") if mine else NOT_RUN,
            )
        )
    head = ("sound loss", "value: declared", "worst", "gradient: declared", "worst", "dtypes", "dtypes x seeds#")
    return table((*head, "effort", "false alarms"), rows)


def _versions(lines: Sequence[Line]) -> str:
    starts = [line for line in lines if isinstance(line, Start)]
    if not starts:
        return "Nothing was run.\n"
    dates = sorted({s.date for s in starts})
    rows = dict.fromkeys(
        (s.lossproof, s.source or "not recorded", s.torch, s.numpy, s.python, s.platform, s.processor) for s in starts
    )
    span = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    states = "" if len(rows) == 1 else "The lines of this page were made by several states of the source.\n\n"
    return f"Run on {span}.\n\n{states}" + table(
        ("lossproof", "source", "torch", "numpy", "python", "platform", "processor"), rows
    )


def render(lines: Sequence[Line], known: Catalogue) -> str:
    """The page."""
    controls, sound = len(known.controls), len(known.sound)
    return f"""# Trust

What is known of lossproof itself: whether its oracles are right, whether its checks see what is wrong, and whether they
leave alone what is right. `make trust` runs all of it, goes on where it was interrupted, and writes this page; what it
has not come to is said to be {NOT_RUN}.

{_versions(lines)}
## 1. Oracles

Every oracle against its definition in mpmath, at 2,400 bits. A certificate is kept beside the code and widens every
bound; here the same is measured at other seeds and with 4 times the rows. The error is in ulp of float64 at the
oracle's own running-error scale.

{_oracles(lines, known)}
## 2. Planted defects

{controls} losses with one defect each, and the check that must flag it: at `quick` effort, or where that misses it at
`ci`.

{_controls(lines, known)}
## 3. Mutants

The source of each sound loss of section 4, helpers included, with one operator, comparison, constant, reduction or
keyword argument changed at a time. A mutant is killed if the verdict at `quick` effort is not ok, or if a value or a
gradient is graded below what the loss declares (`grade`), or if it is said not to offer what the sound loss does
(`offer`). `refused` is one that cannot be bound, `error` one that an
exception in lossproof itself stopped. What is reported as a note, such as another default, may be the choice of an
author and fails nothing. The score is killed / (killed + survived).

{_mutants(lines, known)}
## 4. No false alarm

{sound} correct losses that are not torch's, each with the grade that its algorithm can reach. Nothing may be found in
them, and no grade may be worse than declared.

{_sound(lines, known)}"""
