"""Claims: the verdicts follow from the values, and the committed ones are in step with the committed results."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.project.tree import ROOT
from workbench.claims import main
from workbench.study.claims import (
    Claim,
    Summary,
    Verdict,
    claims_markdown,
    claims_yaml,
    differences,
    judge,
    read_claims,
    read_summaries,
    summaries_markdown,
)
from workbench.study.claims.judging import _read
from workbench.study.claims.writing import result_of
from workbench.study.errors import SweepError
from workbench.study.plan import load
from workbench.study.results import collect
from workbench.study.statistics import compare, interval_of_mean
from workbench.study.tables import build_table

FD = "FD[judge]"


def study(folder: Path, arms: Mapping[str, Sequence[float | None]], teacher: dict[int, float] | None = None) -> Path:
    """folder/toy/values.csv with arms at 3 steps, a seed a value (None: diverged), and teachers by steps."""
    (folder / "toy").mkdir(parents=True, exist_ok=True)
    head = ["row", "kind", "seed", "steps", "status", "subject", "num_inference_steps", FD, "teacher/saturation"]
    rows: list[list[Any]] = []
    for steps, value in (teacher or {}).items():
        rows.append([f"teacher-{steps}", "reference", "", 3, "complete", "teacher", steps, repr(value), 0.0])
    for name, values in arms.items():
        for seed, found in enumerate(values):
            status = "diverged" if found is None else "complete"
            text = "" if found is None else repr(found)
            rows.append([name, "arm", seed, 3, status, "student", 3, text, text])
    with open(folder / "toy" / "values.csv", "w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    _read.cache_clear()
    return folder


def claim(test: dict[str, Any], **changes: Any) -> Claim:
    raw = {"claim": "Ours is it.", "study": "toy", "row": "ours", "metric": FD, "best": "min", **test, **changes}
    return parse({"c": raw})[0]


def parse(raw: dict[str, Any], folder: Path | None = None) -> list[Claim]:
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "claims.yaml"
        path.write_text(yaml.safe_dump({"claims": raw}))
        return read_claims(path)


# ---- the committed ones ---------------------------------------------------------------------------------------------


def test_the_committed_verdicts_are_those_of_the_committed_values(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--check", "--results", str(ROOT / "results")])
    assert status == 0, capsys.readouterr().err


def test_every_study_that_has_not_run_can_be_run() -> None:
    for found in read_claims(ROOT / "results" / "claims.yaml"):
        if found.result["verdict"] == "not run":
            assert (ROOT / "sweeps" / f"{found.study}.yaml").is_file(), found.name


def test_claims_and_tables_say_the_same_of_the_committed_study() -> None:
    """Every arm of ablate_shift, by the claims' own reader and by the table that the report writes."""
    folder = ROOT / "results" / "reference" / "ablate_shift"
    plan = load(folder)
    table = build_table(plan, collect(plan, folder))
    for block in table.blocks:
        for line in block.lines:
            if line.row.kind != "arm":
                continue
            figure = line.figures[FD]
            about = {"study": "ablate_shift", "row": line.row.name, "at": dict(block.evaluation)}
            gap = judge(claim({"gap_closed": {"at_least": 50}}, **about), folder.parent).numbers
            percent = judge(claim({"percent_of_teacher": {"at_most": 100}}, **about), folder.parent).numbers
            assert gap["figure"] == pytest.approx(figure.gap_closed, rel=1e-12)
            assert percent["figure"] == pytest.approx(figure.percent_of_teacher, rel=1e-12)
            if figure.comparison is not None:
                found = judge(claim({"better_than": "baseline"}, **about), folder.parent)
                assert [found.numbers[name] for name in ("difference", "low", "high", "better")] == [
                    figure.comparison.difference,
                    figure.comparison.low,
                    figure.comparison.high,
                    figure.comparison.better,
                ]
                assert (found.word == "holds") == figure.bold


# ---- the verdicts ---------------------------------------------------------------------------------------------------

seeds = st.lists(st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000)), min_size=1, max_size=7)
SLOW = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(seeds, st.sampled_from(["min", "max"]))
def test_better_and_worse_are_the_interval_and_exclude_each_other(
    tmp_path: Path, pairs: list[tuple[int, int]], best: str
) -> None:
    ours, theirs = ([pair[k] / 100 for pair in pairs] for k in (0, 1))
    reference = study(tmp_path, {"ours": ours, "theirs": theirs})
    better, worse = (judge(claim({test: "theirs"}, best=best), reference) for test in ("better_than", "worse_than"))
    comparison = compare(dict(enumerate(ours)), dict(enumerate(theirs)), best)
    assert comparison is not None
    assert better.numbers["difference"] == comparison.difference
    assert better.numbers.get("low") == (comparison.low if len(pairs) >= 3 else None)
    opposite = {"holds": "failed", "failed": "holds", "undecided": "undecided"}
    assert worse.word == opposite[better.word]
    assert (better.word == "undecided") == (not comparison.excludes_zero)
    if better.word == "holds":
        assert (comparison.difference < 0) == (best == "min")


@SLOW
@given(seeds)
def test_equivalence_holds_only_within_two_percent_and_fails_only_beyond(
    tmp_path: Path, pairs: list[tuple[int, int]]
) -> None:
    ours, theirs = ([100 + pair[k] / 1000 for pair in pairs] for k in (0, 1))
    reference = study(tmp_path, {"ours": ours, "theirs": theirs})
    same = judge(claim({"equivalent_to": "theirs"}), reference)
    loose = judge(claim({"equivalent_or_better_than": "theirs"}), reference)
    numbers = same.numbers
    bound = 0.02 * sum(theirs) / len(theirs)
    if same.word == "holds":
        assert len(pairs) >= 3 and numbers["p_equivalent"] < 0.05 and abs(numbers["difference"]) < bound
        assert loose.word == "holds"
    if same.word == "failed":
        assert min(abs(numbers["low"]), abs(numbers["high"])) > bound and numbers["low"] * numbers["high"] > 0
    if loose.word == "failed":
        assert numbers["low"] > bound and same.word == "failed"
    if judge(claim({"better_than": "theirs"}), reference).word == "holds":
        assert loose.word == "holds"


@SLOW
@given(st.lists(st.integers(0, 30000), min_size=1, max_size=7), st.integers(-50, 150))
def test_a_figure_is_judged_by_the_interval_over_the_seeds(tmp_path: Path, numbers: list[int], limit: int) -> None:
    ours = [number / 1000 for number in numbers]
    reference = study(tmp_path, {"ours": ours}, teacher={25: 7.0, 3: 10.0})
    least, most = (judge(claim({"gap_closed": {way: limit}}), reference) for way in ("at_least", "at_most"))
    gaps = [100 * (10.0 - value) / 3.0 for value in ours]
    assert least.numbers["figure"] == pytest.approx(sum(gaps) / len(gaps))
    if len(ours) < 3:
        assert least.word == most.word == "undecided" and "low" not in least.numbers
        return
    low, high = interval_of_mean(gaps) or (0.0, 0.0)
    assert [least.numbers["low"], least.numbers["high"]] == pytest.approx([low, high], abs=1e-9)
    if low < limit < high:
        assert least.word == most.word == "undecided"
    if least.word == "failed":
        assert most.word == "holds"
    value = judge(claim({"value": {"at_most": 1e9}}), reference)
    assert value.word == "holds" and value.numbers["figure"] == pytest.approx(sum(ours) / len(ours))


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=9, unique=True))
def test_the_interval_of_a_mean_is_scipys(values: list[float]) -> None:
    found = interval_of_mean(values)
    reference = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found == pytest.approx((reference.low, reference.high), rel=1e-9, abs=1e-9)
    assert interval_of_mean(values[:2]) is None


def test_a_lost_seed_and_a_study_that_has_not_run_decide_nothing(tmp_path: Path) -> None:
    reference = study(tmp_path, {"ours": [1.0, 1.1, 1.2, None], "theirs": [9.0, 9.1, 9.3, 9.2]}, teacher={25: 5.0})
    lost = judge(claim({"better_than": "theirs"}), reference)
    assert lost.word == "undecided" and lost.numbers["lost"] == 1 and lost.numbers["high"] < 0
    assert judge(claim({"percent_of_teacher": {"at_most": 100}}), reference).word == "undecided"
    assert judge(claim({"better_than": "theirs"}, study="later"), reference) == Verdict("not run")


def test_a_signed_metric_is_judged_by_its_magnitude(tmp_path: Path) -> None:
    reference = study(tmp_path, {"ours": [0.01, -0.011, 0.012], "theirs": [-0.05, 0.052, -0.049]})
    found = judge(claim({"better_than": "theirs"}, metric="teacher/saturation", best="zero"), reference)
    assert found.word == "holds" and found.numbers["difference"] == pytest.approx(-0.118 / 3)


# ---- the files ------------------------------------------------------------------------------------------------------


def test_check_finds_every_number_that_is_not_that_of_the_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study(tmp_path / "reference", {"ours": [1.0, 2.0, 4.0], "theirs": [2.0, 4.0, 5.0]}, teacher={25: 1.0, 3: 6.0})
    base: dict[str, Any] = {"study": "toy", "row": "ours", "metric": FD, "best": "min", "at": {"steps": 3}}
    raw: dict[str, dict[str, Any]] = {
        "beats": {"claim": "Ours | beats <theirs>.", **base, "better_than": "theirs"},
        "closes": {
            "claim": "It closes the gap.",
            **base,
            "gap_closed": {"at_least": 95},
            "reason": "Few seeds.",
            "post_hoc": True,
        },
        "later": {"claim": "Later.", **base, "study": "quickstart", "value": {"at_most": 3}},
    }
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": raw}))
    results = ["--results", str(tmp_path)]
    assert main(["--check", *results]) == 1 and "beats: verdict is None" in capsys.readouterr().err
    assert main(["--write", *results]) == 0 and main(["--check", *results]) == 0
    written = path.read_text()
    assert main(["--write", *results]) == 0 and path.read_text() == written
    again = read_claims(path)
    assert [c.text for c in again] == [v["claim"] for v in raw.values()] and again[1].reason == "Few seeds."
    assert [c.post_hoc for c in again] == [False, True, False]
    table = (tmp_path / "claims.md").read_text()
    assert "Ours \\| beats &lt;theirs>." in table and "python -m workbench.sweep sweeps/quickstart.yaml" in table
    capsys.readouterr()
    found = yaml.safe_load(written)["claims"]["beats"]["result"]
    for name, value in found.items():
        wrong = "failed" if isinstance(value, str) else value + 1 if isinstance(value, int) else value * 1.001
        changed = yaml.safe_load(written)
        changed["claims"]["beats"]["result"][name] = wrong
        path.write_text(yaml.safe_dump(changed))
        assert main(["--check", *results]) == 1
        assert f"beats: {name} is" in capsys.readouterr().err
    path.write_text(written)
    (tmp_path / "claims.md").write_text(table.replace("Few", "Many"))
    assert main(["--check", *results]) == 1 and "claims.md" in capsys.readouterr().err
    assert main(results) == 0 and "undecided  closes" in capsys.readouterr().out


def test_what_is_written_is_what_is_judged(tmp_path: Path) -> None:
    reference = study(tmp_path, {"ours": [1.0, 2.0, 4.0], "theirs": [2.0, 4.0, 5.0]})
    one = claim({"better_than": "theirs"}, at={"steps": 3})
    verdict = judge(one, reference)
    (again,) = parse(yaml.safe_load(claims_yaml([one], [verdict]))["claims"])
    assert again.result == result_of(verdict) and differences(again, verdict) == []
    assert "# 1 claims: 1 undecided" in claims_markdown([one], [verdict])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "0 tests, but exactly one"),
    ({"better_than": "theirs", "gap_closed": {"at_least": 1}}, "2 tests"),
    ({"better_then": "theirs"}, 'Did you mean "better_than"?'),
    ({"better_than": "theirs", "metric": "FD[judg"}, "no metric"),
    ({"better_than": "theirs", "best": "low"}, "must be min or max"),
    ({"gap_closed": {"at_least": 1}, "metric": "teacher/saturation", "best": "zero"}, "a share of it says nothing"),
    ({"gap_closed": 95}, "must be {at_least: N}"),
    ({"gap_closed": {"atleast": 95}}, "must be {at_least: N}"),
    ({"better_than": "theirs", "at": "3"}, "must be levels"),
    ({"better_than": "theirs", "study": "../x"}, "folder's name"),
    ({"better_than": ""}, "must be a text"),
]


@pytest.mark.parametrize(("test", "message"), WRONG)
def test_a_claim_that_cannot_be_read_is_named(test: dict[str, Any], message: str) -> None:
    with pytest.raises(SweepError) as caught:
        claim(test)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row": "our"}, 'Did you mean "ours"?'),
        ({"better_than": "thiers"}, 'Did you mean "theirs"?'),
        ({"at": {"step": 3}}, 'Did you mean "steps"?'),
        ({"at": {"steps": 1}}, "there is no arm"),
        ({"metric": "FD[juge]"}, "there is no metric"),
    ],
)
def test_a_claim_about_what_is_not_there_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    reference = study(tmp_path, {"ours": [1.0, 2.0, 3.0], "theirs": [1.0, 2.0, 3.0]})
    with pytest.raises(SweepError) as caught:
        judge(claim({"better_than": "theirs", **changes}), reference)
    assert message in str(caught.value)


def test_a_share_of_the_teacher_that_the_claim_names(tmp_path: Path) -> None:
    """There may be two at as many steps, at other guidance scales; without a name the first one decides."""
    reference = study(tmp_path, {"ours": [90.0, 91.0, 92.0]}, {25: 100.0})
    file = reference / "toy" / "values.csv"
    file.write_text(file.read_text() + "aligned,reference,,3,complete,teacher,25,50.0,0.0\n")
    _read.cache_clear()
    test = {"percent_of_teacher": {"at_least": 95}}
    assert judge(claim(test), reference).numbers["figure"] == pytest.approx(91.0)
    named = claim(test, teacher="aligned")
    assert judge(named, reference).numbers["figure"] == pytest.approx(182.0)
    assert "95 % of aligned" in named.statement
    assert "teacher: aligned" in claims_yaml([named], [judge(named, reference)])
    with pytest.raises(SweepError, match="no row of the teacher"):
        judge(claim(test, teacher="nobody"), reference)
    with pytest.raises(SweepError, match="percent_of_teacher alone"):
        claim({"value": {"at_least": 1}}, teacher="aligned")


SUMMARIES = {"Goals": {"it is better": {"short": "a", "long": "b"}, "twice": {"long": "a"}}}


def in_file(folder: Path, summaries: Any) -> Path:
    raw = {"study": "toy", "row": "ours", "metric": FD, "best": "min", "better_than": "theirs"}
    entries = {name: {"claim": f"Claim {name}.", **raw} for name in ("a", "b")}
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": entries, "summaries": summaries}, sort_keys=False))
    return path


def test_a_summary_sets_the_verdicts_of_its_claims_side_by_side(tmp_path: Path) -> None:
    path = in_file(tmp_path, SUMMARIES)
    claims = read_claims(path)
    summaries = read_summaries(path, claims)
    verdicts = [Verdict("holds", {"difference": -1.0, "better": 3, "seeds": 3}), Verdict("not run")]
    lines = summaries_markdown(summaries, claims, verdicts).splitlines()
    assert lines[:4] == ["### Goals", "", "|  | short | long |", "| --- | --- | --- |"]
    holds = "**holds**<br><sub>\u22121.00, 3/3 seeds better</sub>"
    assert (
        lines[4]
        == f"| it is better | {holds} | **not run**<br><sub>`python -m workbench.sweep sweeps/toy.yaml`</sub> |"
    )
    assert lines[5] == f"| twice |  | {holds} |"
    path.write_text(claims_yaml(claims, verdicts, {summary.title: summary.rows for summary in summaries}))
    assert read_summaries(path, read_claims(path)) == summaries == [Summary("Goals", SUMMARIES["Goals"])]


@pytest.mark.parametrize(
    ("summaries", "message"),
    [
        ({"Goals": {"it is better": {"short": "aa"}}}, "Goals, it is better, short: there is no claim 'aa'"),
        ({"Goals": {"it is better": "a"}}, "Goals: must be rows"),
        (["a"], "summaries: must be a mapping"),
    ],
)
def test_a_summary_that_cannot_be_read_is_named(tmp_path: Path, summaries: Any, message: str) -> None:
    path = in_file(tmp_path, summaries)
    with pytest.raises(SweepError, match=message):
        read_summaries(path, read_claims(path))


def test_check_finds_a_summary_that_is_not_that_of_the_claims(tmp_path: Path) -> None:
    in_file(tmp_path, SUMMARIES)
    (tmp_path / "reference").mkdir()
    options = ["--results", str(tmp_path)]
    assert main([*options, "--write"]) == 0
    assert main([*options, "--check"]) == 0
    page = tmp_path / "summary.md"
    page.write_text(page.read_text().replace("not run", "holds"))
    assert main([*options, "--check"]) == 1
