"""What a run leaves behind: one JSON object a line, typed, schema-versioned, floats as hex strings.

Everything a user sees is a pure function of these records. The first line is a :class:`Run`; the rest come in any
order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

SCHEMA = 1
FAILING = ("fail", "stale", "error")
"""Verdicts with which a run is not ok."""


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag=str.lower):
    """Base of every line."""


class Run(Record, frozen=True, kw_only=True):
    """The circumstances of a run; equal circumstances give equal records, timings aside."""

    schema: int = SCHEMA
    lossproof: str
    torch: str
    numpy: str
    python: str
    platform: str
    processor: str
    threads: int
    effort: str
    strict: bool
    seed: int
    devices: list[str]
    planned: int
    """Trials planned; fewer trial records than this means the run was cut short."""


class TensorData(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor by its exact numbers; ``dtype`` is the torch name (float32, int64, bool)."""

    dtype: str
    shape: list[int]
    data: list[str]
    """Row-major; floats as ``float.hex()`` text (``inf``, ``nan`` included), integers in decimal."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Exact inputs of one call, enough to replay it bit for bit."""

    tensors: dict[str, TensorData]
    parameters: dict[str, Any]
    reduction: str
    dtype: str
    device: str
    layout: str
    origin: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Self-rendering evidence of one thing wrong."""

    severity: str
    """``defect``, ``weakness`` or ``note``."""
    kind: str
    """What is wrong, in the vocabulary of the check: ``unstable``, ``absolute-only``, ``vanished``, ``nan`` ..."""
    output: str
    """``value`` or the argument whose gradient it is; empty where it is neither."""
    message: str
    """One sentence: the thing, expected, got."""
    got: str = ""
    want: str = ""
    allowed: str = ""
    """The largest error the bound admits here, in the unit of the output."""
    ulp: float | None = None
    """Error in units in the last place of the truth; None where it is not a number (inf, nan)."""
    count: int = 1
    total: int = 1
    """``count`` of ``total`` judged cases show it."""
    case: Case | None = None
    reproduction: str = ""
    """Python lines that print got and want."""


class Trial(Record, frozen=True, kw_only=True):
    """Subject x Check x dtype x device (x item): the unit that is planned, run and named in a test id."""

    id: str
    subject: str
    contract: str
    check: str
    item: str = ""
    """The row of a table check: a special value's law, a reduction, a law."""
    dtype: str
    device: str
    mode: str = "eager"
    verdict: str
    """error, fail, stale, fault, deviation, unsupported or pass."""
    reason: str = ""
    findings: list[Finding] = []
    excused: list[str] = []
    """Names of the Deviations and Faults that were seen."""
    shared: list[Finding] = []
    """Findings that the baseline has too."""
    cases: int = 0
    seconds: float = 0.0


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Max envelope of the error over one input, by ordinal of the dtype, outside every Deviation and Fault."""

    argument: str
    x: list[str]
    """Edges of the bins, hex: one more than there are bins."""
    error: list[float | None]
    """Largest error in the bin, in ulp of B_ref; None where nothing finite was judged."""
    bound: list[float | None]
    """Largest admissible (mixed-stable) error where that error is, in ulp of B_ref."""
    rail: list[str]
    """Range findings of the bin that nothing explains, as blank-separated words: ``inf``, ``nan``, ``zero`` got where
    the truth is a number other than that, ``finite`` got where the truth is inf or nan."""
    excused_rail: list[str]
    """The same, of what a Deviation or Fault explains or the baseline shares."""
    excused: list[bool]
    """Whether a Deviation or Fault explains an entry of the bin."""


class OutputTally(msgspec.Struct, frozen=True, kw_only=True):
    """Roll-up of every judged entry of one output; additive but for the worst cases."""

    output: str
    entries: int
    """All of them; those that a Deviation, a Fault or the baseline explains are in no other count."""
    grades: dict[str, int]
    """Entries per grade: few-ulp, reference, mixed-stable, absolute-only, unstable."""
    ranges: dict[str, int]
    """Entries per range finding: overflow, nan, wrong-inf, finite-for-nan, vanished ..."""
    grade: str
    """The worst grade outside every Deviation and Fault; empty where nothing is outside."""
    worst_ulp: float
    """Largest finite error outside every Deviation and Fault, in ulp of B_ref: of the truth, if not near a root."""
    worst_ratio: float
    """Largest finite error outside them in units of its own mixed-stable bound: above 1 is a weakness or a defect."""
    badge: str
    """``exhaustive``, ``searched`` or ``sampled``."""
    worst: Case | None = None
    worst_got: str = ""
    worst_want: str = ""
    worst_reproduction: str = ""
    """Python lines that print it."""
    curve: Curve | None = None


class Survey(Record, frozen=True, kw_only=True):
    """What the sweep of one Subject in one dtype measured."""

    subject: str
    contract: str
    dtype: str
    device: str
    cases: int
    swept: int
    """Cases of the deterministic sweep; the rest were hunted and are in no statistic."""
    outputs: list[OutputTally]
    excused: dict[str, float]
    """Share of the swept entries that each Deviation or Fault excuses."""
    oracle_ulp: float | None = None
    """Error that the oracle is granted, in ulp of float64 at its running-error scale; it widens every bound."""
    left_out: int = 0
    """Cases of the sweep with a suspect gradient that was not looked into: too many were, at this effort."""
    defined: int = 0
    """Cases of float64 that the definition in mpmath judged, chosen where they matter."""
    followed: dict[str, str] = msgspec.field(default_factory=dict)
    """``deviation: output`` -> ``mathematics``, ``documentation``, ``both`` or ``neither throughout``."""


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A Deviation or a Fault as text."""

    name: str
    kind: str
    """``deviation`` or ``fault``."""
    region: str
    seen: str
    source: str
    """Where it is documented; for a Fault the upstream issue or ``unreported``."""
    versions: str
    dtypes: list[str]
    outputs: list[str]
    reproduction: str = ""


class Declaration(Record, frozen=True, kw_only=True):
    """A Subject with its Contract, as a reader sees it."""

    subject: str
    contract: str
    origin: str
    """``torch`` for a builtin, ``specimen`` for what ships with the suites, else ``user``."""
    summary: str
    formula: str
    sources: list[str]
    arguments: dict[str, str]
    parameters: dict[str, str]
    reductions: list[str]
    scales: str
    ledger: list[LedgerEntry]
    not_offered: list[str]
    """Arguments that the loss lacks, and parameters with the value that is taken for them."""
    caveat: str = ""
    """What its tables do not show: that the loss refers to itself, and what is declared to be meant; else empty."""


class NotRun(Record, frozen=True, kw_only=True):
    """What was not checked, and why."""

    what: str
    reason: str


Line = Run | Trial | Survey | Declaration | NotRun


class RecordsError(ValueError):
    """A records file that cannot be read; the message names file, line and what was expected."""


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    """One record as one JSON line, without the newline."""
    return _encoder.encode(line)


def decode(text: bytes | str) -> Line:
    return _decoder.decode(text)


def write(path: Path, lines: Iterable[Line]) -> None:
    """Write all ``lines``, creating the folder."""
    text = b"".join(encode(line) + b"\n" for line in lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)


def read(path: Path) -> Iterator[Line]:
    """Every record of a file. Raises RecordsError for a file that is not one, with the line number.

    A last line without its end is one that a killed run did not finish: it is no record.
    """
    try:
        texts = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise RecordsError(f"{path}: cannot be read: {error.strerror}") from None
    for number, text in enumerate(texts, start=1):
        try:
            line = decode(text)
        except msgspec.DecodeError as error:
            raise RecordsError(
                f"{path}:{number}: expected a lossproof record (schema {SCHEMA}), got: {error}"
            ) from None
        if isinstance(line, Run) and line.schema != SCHEMA:
            raise RecordsError(
                f"{path}:{number}: expected schema {SCHEMA}, got {line.schema}: written by another version"
            )
        yield line


def schema_text() -> str:
    """JSON Schema of one line, as it stands in docs/records.schema.json."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Line)), indent=2).decode() + "\n"
