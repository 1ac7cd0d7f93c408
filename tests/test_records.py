"""Records: every line replays, the schema is published, a broken file gives one clear line."""

import json
from pathlib import Path

import numpy as np
import pytest

from harness import records
from harness.cases import Batch, from_record
from harness.ulp import FLOAT32, round_to

ROOT = Path(__file__).parent.parent


def a_batch() -> Batch:
    x = round_to(FLOAT32, np.array([0.1, -0.0, np.inf, -np.inf, np.nan, 1e-45]))
    return Batch(
        args={"input": x, "target": np.arange(6)},
        parameters={"margin": 0.5, "p": np.inf, "cutoffs": (2, 3)},
        precision=FLOAT32,
    )


def test_a_case_replays_bit_for_bit() -> None:
    batch = a_batch()
    line = records.Trial(
        id="x", subject="s", contract="c", check="value", dtype="float32", device="cpu", verdict="fail",
        findings=[records.Finding(severity="defect", kind="nan", output="value", message="m", case=batch.record())],
    )  # fmt: skip
    back = records.decode(records.encode(line))
    assert isinstance(back, records.Trial)
    case = back.findings[0].case
    assert case is not None
    again = from_record(case)
    assert again.parameters == batch.parameters
    for name, array in batch.args.items():
        assert again.args[name].dtype == array.dtype
        assert again.args[name].tobytes() == array.tobytes()


def test_equal_runs_give_equal_bytes() -> None:
    assert records.encode(records.NotRun(what="a", reason="b")) == records.encode(records.NotRun(reason="b", what="a"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"not json", "malformed"),
        (b'{"record":"trial"}', "missing required field"),
        (b'{"record":"something"}', "something"),
        (b"[1, 2]", "expected a lossproof record"),
        (b'{"record":"notrun","what":"a","reason":1}', "reason"),
    ],
)
def test_a_malformed_file_gives_one_line_with_its_place(tmp_path: Path, text: bytes, says: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b'{"record":"notrun","what":"cuda","reason":"absent"}\n' + text + b"\n")
    with pytest.raises(records.RecordsError) as raised:
        list(records.read(path))
    message = str(raised.value)
    assert message.startswith(f"{path}:2: ")
    assert says in message
    assert "\n" not in message


def test_a_missing_file_and_another_schema_say_so(tmp_path: Path) -> None:
    with pytest.raises(records.RecordsError, match="cannot be read"):
        list(records.read(tmp_path / "absent.jsonl"))
    run = records.Run(
        schema=99, lossproof="9", torch="", numpy="", python="", platform="", processor="", threads=1, effort="quick",
        strict=True, seed=0, devices=[], planned=0,
    )  # fmt: skip
    records.write(tmp_path / "run.jsonl", [run])
    with pytest.raises(records.RecordsError, match="expected schema 1, got 99"):
        list(records.read(tmp_path / "run.jsonl"))


def test_the_published_json_schema_is_that_of_the_code() -> None:
    """Regenerate with: python -c "from harness import records; print(records.schema_text(), end='')"."""
    published = ROOT / "docs" / "records.schema.json"
    assert published.read_text() == records.schema_text()
    assert json.loads(published.read_text())["anyOf"]
