"""The schedules of prefect.yaml."""

import pytest
import yaml

from anime.settings import PROJECT_DIR

DEPLOYMENTS = yaml.safe_load((PROJECT_DIR / "prefect.yaml").read_text())["deployments"]
SCHEDULES = [schedule for each in DEPLOYMENTS for schedule in each.get("schedules", [])]


def test_what_runs_several_times_a_day_does_not_pause_when_summer_time_ends() -> None:
    often = [each for each in SCHEDULES if not each["cron"].split()[1].isdigit()]
    assert often
    assert {each["timezone"] for each in often} == {"UTC"}


@pytest.mark.parametrize(("name", "cron"), [("backup", "0 3 * * *"), ("backup-drill", "0 6 * * 0")])
def test_backups_are_made_each_night_and_tried_each_week(name: str, cron: str) -> None:
    [schedules] = [each["schedules"] for each in DEPLOYMENTS if each["name"] == name]
    [schedule] = schedules
    assert (schedule["cron"], schedule["active"]) == (cron, True)
    assert schedule["timezone"] == "{{ $ANIME_TIMEZONE }}"
