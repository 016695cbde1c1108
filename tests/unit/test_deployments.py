"""The schedules of prefect.yaml."""

import yaml

from anime.settings import PROJECT_DIR

DEPLOYMENTS = yaml.safe_load((PROJECT_DIR / "prefect.yaml").read_text())["deployments"]
SCHEDULES = [schedule for each in DEPLOYMENTS for schedule in each.get("schedules", [])]


def test_what_runs_several_times_a_day_does_not_pause_when_summer_time_ends() -> None:
    often = [each for each in SCHEDULES if not each["cron"].split()[1].isdigit()]
    assert often
    assert {each["timezone"] for each in often} == {"UTC"}
