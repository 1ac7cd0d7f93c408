"""Numbers, inputs and sentences as every report prints them: honest rounding, exact inputs, runnable reproductions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from harness.records import Case, Finding, LedgerEntry, Line, OutputTally, Run, TensorData
from reports.departures import Departure, known
from reports.load import load
from reports.rollup import GRADES, Accuracy
from reports.view import Report

ABSENT = "\N{EN DASH}"
GLYPHS = {
    "error": "‼",
    "fail": "✗",
    "stale": "↻",
    "fault": "▲",
    "deviation": "◆",
    "unsupported": ABSENT,
    "pass": "✓",
    "defect": "✗",
    "weakness": "△",
    "note": "·",
}
DECIMALS = {"float64": 17, "float32": 9, "float16": 5, "bfloat16": 4}
"""Significant decimals that tell every number of the dtype from its neighbours: ceil(1 + digits log10 2)."""
URL = re.compile(r"(https?://[^\s<>\"]*[^\s<>\".,;:)\]])")
"""An http address, without the punctuation of the sentence around it."""
RUN_OF_ONE = re.compile(r"(?<=[\[ ])([^\[\],\s]+)(?:, \1){15,}(?=[\],])")
"""Sixteen and more equal elements of a list."""
ONLY_A_RUN = re.compile(r"\[\*(\[[^\[\],\s]+\] \* \d+)\]")
SHOWN = 8
"""Elements of a tensor that are printed; the reproduction has them all."""
IN_HEX = 4
"""Elements up to which a tensor is printed in hex too."""


def parse(text: str) -> float | None:
    """The float that ``text`` stands for, or None. ``float.fromhex`` alone would read the integer 10 as 16."""
    bare = text.strip().lower().lstrip("+-")
    if not (bare.startswith("0x") or bare in ("inf", "nan")):
        return None
    try:
        return float.fromhex(text.strip())
    except (ValueError, OverflowError):
        return None


def decimal(value: float, dtype: str = "float64") -> str:
    """The shortest decimal that is exactly ``value``, or the first that identifies it in its dtype."""
    most = DECIMALS.get(dtype, 17)
    exact = (text for digits in range(1, most) if float(text := f"{value:.{digits}g}") == value)
    text = next(exact, f"{value:.{most}g}")
    # 40, not 4e+01.
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e6 else text


def number(text: str, dtype: str = "float64") -> str:
    """Decimal and hex of a float written in hex, a small integer without; any other text as it is."""
    value = parse(text)
    if value is None:
        return text
    if not math.isfinite(value) or (value.is_integer() and abs(value) < 1e6):
        return decimal(value)
    short = re.sub(r"\.?0+p", "p", value.hex())
    return f"{decimal(value, dtype)} ({short})"


def plain_number(text: str, dtype: str) -> str:
    """The decimal alone, which identifies it in its dtype."""
    value = parse(text)
    return text if value is None else decimal(value, dtype)


def allowance(text: str) -> str:
    """Three digits of a bound written in hex; any other text as it is."""
    value = parse(text)
    return text if value is None else figure(value)


def figure(value: float) -> str:
    """Three digits; 0 only for 0, so a tiny number stays visible."""
    if value == 0.0 or not math.isfinite(value):
        return f"{value:g}"
    size = abs(value)
    if size < 0.001 or float(f"{size:.3g}") >= 1e5:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.3g}"


def ulp(value: float | None) -> str:
    return ABSENT if value is None else f"{figure(value)} ulp"


def ratio(value: float) -> str:
    """A multiple of the bound; 1 only for 1, since beyond it lies failure."""
    text = figure(value)
    if text == "1" and value != 1.0:
        return "just over 1" if value > 1.0 else "just under 1"
    return text


def share(fraction: float) -> str:
    """Percent; 0 % and 100 % only when truly so."""
    if fraction <= 0.0 or fraction >= 1.0:
        return f"{100 * fraction:.0f} %"
    if fraction < 0.001:
        return "<0.1 %"
    if fraction > 0.999:
        return ">99.9 %"
    return f"{100 * fraction:.1f} %"


def part(count: int, total: int) -> str:
    return share(count / total) if total else ABSENT


def outside(accuracy: Accuracy) -> str:
    """Range findings, the most frequent first; empty where there is none."""
    found = sorted(accuracy.ranges.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {kind}" for kind, count in found if count)


def finite(accuracy: Accuracy) -> str:
    """Grade of what has a number."""
    if accuracy.finite:
        return accuracy.finite
    return "nothing finite" if accuracy.grade else "all excused"


def weighed(accuracy: Accuracy) -> str:
    """The worst finite error in units of its bound, with what has no number beside it."""
    said = f"{ratio(accuracy.worst_ratio)} of the bound"
    beside = outside(accuracy)
    return f"{said} where finite; {beside}" if beside else said


def bad(accuracy: Accuracy) -> bool:
    """Whether a grade or a range finding is one that no sound loss has."""
    return bool(outside(accuracy)) or accuracy.grade in GRADES[:2]


def plural(count: int, noun: str, nouns: str = "") -> str:
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def most(accuracy: Accuracy) -> str:
    """The largest error; a maximum that was not proved by trying every input is a lower bound."""
    exact = accuracy.badge == "exhaustive" or not accuracy.worst_ulp
    return f"{'' if exact else '≥ '}{ulp(accuracy.worst_ulp)}"


def error(accuracy: Accuracy) -> str:
    """The same without the unit, for a table that names it."""
    return most(accuracy).removesuffix(" ulp")


def tensor(data: TensorData) -> str:
    """A tensor for reading: decimal and hex of its first elements, and how many more there are."""
    said = number if len(data.data) <= IN_HEX else plain_number
    shown = [said(text, data.dtype) for text in data.data[:SHOWN]]
    if data.shape == [] or data.shape == [1]:
        return f"{', '.join(shown)}  {data.dtype}"
    more = len(data.data) - len(shown)
    listed = ", ".join([*shown, f"… {more:,} more"] if more else shown)
    return f"[{listed}]  {data.dtype} {' by '.join(str(n) for n in data.shape)}"


def inputs(case: Case) -> list[tuple[str, str]]:
    """Name and text of everything that went into a call."""
    rows = [(name, tensor(data)) for name, data in case.tensors.items()]
    rows += [(name, repr(value)) for name, value in case.parameters.items()]
    plain = {"reduction": "none", "device": "cpu", "layout": "rows"}
    rows += [(name, word) for name, usual in plain.items() if (word := getattr(case, name)) not in (usual, "")]
    return rows


def folded(code: str) -> str:
    """Python lines with long runs of one number written as a multiple: the same value, which a person can read."""
    starred = RUN_OF_ONE.sub(lambda run: f"*[{run[1]}] * {run[0].count(', ') + 1}", code)
    return ONLY_A_RUN.sub(r"\1", starred)


def reproduction(evidence: Finding | OutputTally | LedgerEntry) -> str:
    """Python lines that show it again; empty without exact inputs."""
    written = evidence.worst_reproduction if isinstance(evidence, OutputTally) else evidence.reproduction
    return folded(written.strip("\n"))


def circumstances(run: Run | None) -> list[tuple[str, str]]:
    """What the numbers depend on; equal circumstances give equal numbers."""
    if run is None:
        return [("run", "not recorded")]
    return [
        ("torch", run.torch),
        ("lossproof", run.lossproof),
        ("numpy", run.numpy),
        ("python", run.python),
        ("platform", run.platform),
        ("processor", run.processor),
        ("threads", str(run.threads)),
        ("devices", ", ".join(run.devices)),
        ("effort", run.effort),
        ("strict", "yes: weaknesses count as failures" if run.strict else "no: weaknesses are shown, not failed"),
        ("seed", str(run.seed)),
        ("trials planned", f"{run.planned:,}"),
    ]


def _by_owner(report: Report, faults: list[Departure]) -> list[tuple[str, list[Departure]]]:
    """(whose faults they are, they): of torch's builtins, of the specimens that ship, or only seen with this torch."""
    version = f"torch {report.run.torch.partition('+')[0]}" if report.run is not None else ""
    owners = {"torch": f" of {version}", "specimen": " of specimens"}
    found: dict[str, list[Departure]] = {}
    for one in faults:
        found.setdefault(owners.get(one.first.origin, f" with {version}") if version else "", []).append(one)
    return list(found.items())


def sentence(report: Report) -> str:
    """The verdict on a whole run in one sentence."""
    tally = report.tally
    if not tally.total:
        return "No trial was run: nothing is known."
    names = {section.subject for section in report.sections if section.whole.total}
    what = next(iter(names)) if len(names) == 1 else plural(len(names), "loss", "losses")
    if modules := sum(bool(twin.trials) for section in report.sections for twin in section.twins):
        what += f" with {plural(modules, 'module')}"
    trials = f"{what}, {plural(tally.total, 'trial')}"
    if report.missing:
        trials += f" of {tally.total + report.missing:,} planned (cut short)"
    found = [(tally["fail"], "failure", ""), (tally["error"], "error of the harness", "errors of the harness")]
    found += [(tally["stale"], "stale fault", "")]
    other = tally.failing - sum(count for count, _, _ in found)
    found += [(other, "unknown verdict", "")]
    bad = [plural(*item) for item in found if item[0]]
    broken = sum(bool(section.whole.failing) for section in report.sections)
    scope = f" in {plural(broken, 'loss', 'losses')}" if len(names) > 1 else ""
    verdict = ", ".join(bad) + scope if bad else "no failure so far" if report.missing else "no failure"
    rest = []
    for kind, noun in (("fault", "known fault"), ("deviation", "deviation")):
        if seen := known(report, kind):
            for owner, ones in _by_owner(report, seen) if kind == "fault" else [("", seen)]:
                homes = {section.subject for one in ones for section in one.sections}
                where = f" in {plural(len(homes), 'loss', 'losses')}" if len(names) > 1 else ""
                rest.append(plural(len(ones), noun) + owner + where)
        elif tally[kind]:  # a record that names none of what it excuses
            rest.append(plural(tally[kind], f"trial with an unnamed {kind}", f"trials with an unnamed {kind}"))
    rest += [f"{plural(tally['unsupported'], 'trial')} unsupported"] if tally["unsupported"] else []
    return f"{trials}: {verdict}" + (f"; {', '.join(rest)}" if rest else "") + "."


def strict_sentence(report: Report) -> str:
    """What ``strict`` makes, or would make, of the weaknesses; empty where there is none."""
    if report.strict:
        return ""
    trials = [trial for section in report.sections for trial in section.strict_only]
    kinds = sorted({f.kind for t in trials for f in t.findings if f.severity == "weakness"})
    if not trials:
        return ""
    return f"strict would also fail {plural(len(trials), 'trial')} for their weaknesses ({', '.join(kinds)})."


def verdict_sentence(lines: Iterable[Line]) -> str:
    """One sentence: how many losses and trials, what failed, what is known of torch."""
    return sentence(load(lines))
