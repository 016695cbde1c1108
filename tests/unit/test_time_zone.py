"""The studio's time zone, from the setting or from the machine."""

from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tzlocal import reload_localzone

from anime.errors import ConfigurationError
from anime.settings import load_settings


@pytest.mark.parametrize("name", ["Asia", "asia", "../UTC", "/etc/passwd", "UTC+9", "JST-9", " "])
def test_a_setting_that_names_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="ANIME_TIMEZONE"):
        load_settings(timezone=name)


@pytest.mark.parametrize("name", ["JST-9", "CET-1CEST", "Asia", "nonsense", "../../etc/passwd"])
def test_a_machines_zone_that_is_none_is_an_error_that_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TZ", name)
    monkeypatch.setattr("anime.settings.get_localzone", reload_localzone)
    with pytest.raises(ConfigurationError, match="ANIME_TIMEZONE"):
        _ = load_settings().zone
    assert load_settings(timezone="Asia/Tokyo").zone == ZoneInfo("Asia/Tokyo")


def test_a_machines_zone_that_is_a_file_without_a_name_is_utc_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (Path(str(files("tzdata"))) / "zoneinfo" / "Asia" / "Tokyo").open("rb") as file:
        zone = ZoneInfo.from_file(file, key="local")
    monkeypatch.setattr("anime.settings.get_localzone", lambda: zone)
    settings = load_settings()
    assert (settings.zone, settings.zone_name) == (zone, "UTC")
