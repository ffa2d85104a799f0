"""The environment as settings: what counts as set, what is refused, what is never shown."""

from datetime import date
from pathlib import Path

import pytest

from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.settings import (
    DEFAULT_HISTORY_START,
    DEFAULT_SEALING_KEYS,
    DEFAULT_WAREHOUSE_URL,
    VARIABLES,
    read_settings,
)

FULL = {
    "TT_SECRET": "s3cr3t-client",
    "TT_REFRESH": "s3cr3t-refresh",
    "TASTY_API_URL": "https://me:s3cr3t-proxy@localhost:8080",
    "TASTY_SANDBOX": "1",
    "TASTY_WAREHOUSE_URL": "postgresql://me:s3cr3t-database@localhost/tasty",
    "TASTY_HISTORY_START": "2020-02-29",
    "TASTY_SEALING_KEYS": "secrets/sealing-keys",
    "TASTY_PUBLISH_COPY": "copies/readers.duckdb",
    "TASTY_UI_URL": "http://localhost:3000",
    "TASTY_ALERT_WEBHOOK": "https://hooks.example/s3cr3t-hook",
    "TASTY_ALERT_COMMAND": "notify --token s3cr3t-command",
    "TASTY_ALERT_EMAIL": "a@example.org, b@example.org",
    "TASTY_SMTP_URL": "smtps://me:s3cr3t-mail@localhost",
}


def test_the_tests_cover_every_variable() -> None:
    assert set(FULL) == set(VARIABLES)


def test_everything_is_read() -> None:
    settings = read_settings(FULL)
    assert settings.credentials() == ("s3cr3t-client", "s3cr3t-refresh")
    assert settings.has_credentials
    assert settings.api_url == FULL["TASTY_API_URL"]
    assert settings.sandbox
    assert settings.warehouse_url == FULL["TASTY_WAREHOUSE_URL"]
    assert settings.history_start == date(2020, 2, 29)
    assert settings.sealing_keys == Path("secrets/sealing-keys")
    assert settings.publish_copy == Path("copies/readers.duckdb")
    assert settings.ui_url == FULL["TASTY_UI_URL"]
    assert settings.alert_webhook == FULL["TASTY_ALERT_WEBHOOK"]
    assert settings.alert_command == FULL["TASTY_ALERT_COMMAND"]
    assert settings.alert_email == ("a@example.org", "b@example.org")
    assert settings.smtp_url == FULL["TASTY_SMTP_URL"]


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = read_settings({})
    assert settings.warehouse_url == DEFAULT_WAREHOUSE_URL
    assert settings.history_start == DEFAULT_HISTORY_START == date(2017, 1, 1)
    assert settings.sealing_keys == DEFAULT_SEALING_KEYS == Path("data/sealing-keys")
    assert not settings.sandbox
    assert not settings.has_credentials
    assert [settings.api_url, settings.publish_copy, settings.alert_webhook, settings.alert_command] == [None] * 4
    assert settings.alert_email == ()


@pytest.mark.parametrize("empty", ["", " ", "\t\n"])
def test_an_empty_value_counts_as_not_set(empty: str) -> None:
    assert read_settings(dict.fromkeys(VARIABLES, empty)) == read_settings({})
    for name in VARIABLES:
        assert read_settings({name: empty}) == read_settings({}), name


def test_blanks_around_a_value_are_not_part_of_it() -> None:
    assert read_settings({name: f" {value}\n" for name, value in FULL.items()}) == read_settings(FULL)


def test_the_environment_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTY_HISTORY_START", "2019-01-01")
    assert read_settings().history_start == date(2019, 1, 1)
    monkeypatch.setenv("TASTY_HISTORY_START", "2020-01-01")
    assert read_settings().history_start == date(2020, 1, 1)


def test_variables_of_others_are_ignored() -> None:
    assert read_settings({"TASTY_UNKNOWN": "1", "HOME": "/"}) == read_settings({})


def test_no_credentials_is_a_clear_error() -> None:
    with pytest.raises(ConfigurationError, match=r"No credentials are set.*TT_SECRET.*TT_REFRESH.*make demo"):
        read_settings({}).credentials()


def test_the_key_file_may_be_below_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert read_settings({"TASTY_SEALING_KEYS": "~/keys"}).sealing_keys == Path("/home/me/keys")


@pytest.mark.parametrize("name", ["TT_SECRET", "TT_REFRESH"])
@pytest.mark.parametrize("other", [None, "", "  "])
def test_half_the_credentials_is_a_clear_error_that_shows_none(name: str, other: str | None) -> None:
    environment = {name: "s3cr3t-half"}
    if other is not None:
        environment |= dict.fromkeys({"TT_SECRET", "TT_REFRESH"} - {name}, other)
    settings = read_settings(environment)
    assert not settings.has_credentials
    with pytest.raises(ConfigurationError, match=f"Only {name} is set") as caught:
        settings.credentials()
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "meaning"),
    [("1", True), ("true", True), ("Yes", True), ("ON", True), ("0", False), ("False", False), ("no", False)],
)
def test_a_flag_is_understood_in_any_case(value: str, meaning: bool) -> None:
    assert read_settings({"TASTY_SANDBOX": value}).sandbox is meaning


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("TASTY_SANDBOX", bad) for bad in ("2", "sandbox", "-1", "y e s")),
        *(("TASTY_HISTORY_START", bad) for bad in ("yesterday", "2020-02-30", "01/02/2020", "0000-01-01", "2020-1-1")),
        *(("TASTY_HISTORY_START", bad) for bad in ("2020-01-01T00:00:00", "20200101", "2020-W01-1")),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as caught:
        read_settings({name: value})
    assert caught.value.remedy


def test_no_repr_shows_a_secret_or_a_password() -> None:
    settings = read_settings(FULL)
    assert "s3cr3t" not in repr(settings) + str(settings)
    assert "2020, 2, 29" in repr(settings)
