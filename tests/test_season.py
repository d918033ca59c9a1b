"""Days are read from what the user says or from well-known product names, and compared around the year."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minedetect.errors import SettingError
from minedetect.season import SEASON_DAYS, Acquired, acquired, season_gap_days, season_of

DAYS = st.dates(date(1972, 1, 1), date(2099, 12, 31))


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("LE70220491999322EDC01_stack.gtif", date(1999, 11, 18)),
        ("LT51730701996366JSA00.tif", date(1996, 12, 31)),
        ("LC08_L1TP_022049_20160412_20170223_01_T1_sr.tif", date(2016, 4, 12)),
        ("LC08_CU_003002_20200102_20200115_C01_V01.tif", date(2020, 1, 2)),
        ("S2A_MSIL2A_20160824T081602_N0204_R121_T35LPL_20160824T082123.tif", date(2016, 8, 24)),
        ("T35LPL_20250819T080611_B04_10m.jp2.tif", date(2025, 8, 19)),
        ("20160824T081602_20160824T082123_T35LPL.tif", date(2016, 8, 24)),
        ("S2A_OPER_PRD_MSIL1C_PDMC_20160425T103045_R121_V20160422T081602_20160422T082123.tif", date(2016, 4, 22)),
    ],
)
def test_product_names_give_the_day_of_the_image(name: str, day: date) -> None:
    assert acquired("", Path("/images/20010101T000000") / name) == Acquired(day, "file name")


@pytest.mark.parametrize(
    "name",
    [
        "before.tif",
        "mines_2016.tif",
        "export_20160824.tif",
        "LE70220491999400EDC01.tif",
        "LE70220492001366EDC01.tif",
        "T35LPL_20161324T081602.tif",
        "T35LPL_20160230T081602.tif",
        "T35LPL_00010101T081602.tif",
        "120160824T081602.tif",
    ],
)
def test_other_names_give_no_day(name: str) -> None:
    assert acquired("", Path(name)) is None


@given(DAYS)
def test_the_day_the_user_gives_wins(day: date) -> None:
    assert acquired(day.isoformat(), Path("LE70220491999322EDC01.tif")) == Acquired(day, "given")


@pytest.mark.parametrize(
    "given_day", ["2016-02-31", "2015-02-29", "2016-13-01", "2016-00-10", "24.8.2016", "1066-10-14"]
)
def test_a_day_that_does_not_exist_is_told(given_day: str) -> None:
    with pytest.raises(SettingError, match=given_day):
        acquired(given_day, Path("before.tif"))


@given(DAYS, DAYS)
def test_the_gap_is_the_shorter_way_round_the_year(a: date, b: date) -> None:
    gap_days = season_gap_days(a, b)
    assert gap_days == season_gap_days(b, a)
    assert 0 <= gap_days <= 183


@given(DAYS, st.integers(1972, 2099), st.integers(0, 180))
def test_the_year_does_not_matter_and_a_day_is_a_day(day: date, year: int, later_days: int) -> None:
    if (day.month, day.day) != (2, 29):
        assert season_gap_days(day, day.replace(year=year)) == 0
    assert season_gap_days(day, day + timedelta(days=later_days)) == pytest.approx(later_days, abs=1)


def test_new_year_is_no_gap() -> None:
    assert season_gap_days(date(2016, 12, 31), date(2025, 1, 1)) == 1
    assert season_gap_days(date(2016, 2, 29), date(2025, 3, 1)) == 1


def test_one_season_passes_and_another_is_doubted() -> None:
    first = Acquired(date(2016, 8, 24), "given")
    near = season_of(first, Acquired(first.day + timedelta(days=SEASON_DAYS), "file name"))
    assert (near.gap_days, near.doubtful) == (SEASON_DAYS, False)
    assert "2016-10-08 (from its name)" in near.sentence
    far = season_of(first, Acquired(first.day + timedelta(days=SEASON_DAYS + 1), "given"))
    assert (far.gap_days, far.doubtful) == (SEASON_DAYS + 1, True)
    assert "46 days" in far.sentence


def test_an_unknown_day_is_said_with_the_flag_that_gives_it() -> None:
    known = Acquired(date(2016, 8, 24), "given")
    for days, flags in (((None, known), {"--acquired "}), ((known, None), {"--acquired-after "})):
        season = season_of(*days)
        assert (season.gap_days, season.doubtful) == (None, False)
        assert {f for f in ("--acquired ", "--acquired-after ") if f in season.sentence} == flags
    assert season_of(None, None).sentence.count("--acquired") == 2
