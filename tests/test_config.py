"""Settings: layers, origins, and errors that help."""

import re

import pytest

from teller.config import Settings, describe, load
from teller.errors import ConfigError


def test_later_layers_win_and_every_value_knows_its_origin(tmp_path):
    file = tmp_path / "teller.toml"
    file.write_text("[server]\nport = 1001\nmax_calls = 7\n[cache]\nmode = 'exact'\n")

    loaded = load(
        file, {"server.port": "1003"}, {"TELLER_SERVER__PORT": "1002", "TELLER_CACHE__MODE": "off", "PATH": "x"}
    )

    assert (loaded.settings.server.port, loaded.settings.server.max_calls, loaded.settings.cache.mode) == (
        1003,
        7,
        "off",
    )
    origins = {name: origin for name, _, origin in loaded.rows()}
    assert origins["server.port"] == "command line"
    assert origins["cache.mode"] == "TELLER_CACHE__MODE"
    assert origins["server.max_calls"] == str(file)
    assert origins["server.host"] == "default"


@pytest.mark.parametrize(
    ("toml", "flags", "environ", "said"),
    [
        (
            "[server]\nprot = 1",
            {},
            {},
            r"teller\.toml: there is no setting 'server\.prot'; did you mean 'server\.port'\?",
        ),
        ("", {"cache.mood": "off"}, {}, r"command line: .*'cache\.mood'; did you mean 'cache\.mode'\?"),
        ("", {}, {"TELLER_SERVER__PROT": "1"}, r"TELLER_SERVER__PROT; did you mean TELLER_SERVER__PORT\?"),
        ("", {}, {"TELLER_PORT": "1"}, r"TELLER_PORT; did you mean TELLER_SERVER__PORT\?"),
        ("", {}, {"TELLER_SERVER__PORT": "many"}, r"TELLER_SERVER__PORT: server\.port: .*got 'many'"),
        ("[cache]\nmode = 'on'", {}, {}, r"teller\.toml: cache\.mode: .*'off', 'exact' or 'semantic'"),
        ("port = [", {}, {}, r"teller\.toml: not TOML"),
        ("mistral_api_key = 'x'", {}, {}, r"is a secret; set the variable TELLER_MISTRAL_API_KEY"),
        ("", {"server.host": "0.0.0.0"}, {}, r"needs a token\. Set TELLER_SERVER_TOKEN"),
        ("", {}, {"TELLER_SERVER_TOKEN": "short"}, r"too short to be a secret"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place_and_what_was_wanted(tmp_path, toml, flags, environ, said):
    file = tmp_path / "teller.toml"
    file.write_text(toml)

    with pytest.raises(ConfigError) as error:
        load(file, flags, environ)

    assert re.search(said, str(error.value))


def test_a_missing_settings_file_is_an_error_and_not_the_defaults(tmp_path):
    with pytest.raises(ConfigError, match="there is no such settings file"):
        load(tmp_path / "none.toml", {}, {})


def test_secrets_are_never_shown(tmp_path):
    environ = {"TELLER_SERVER_TOKEN": "a-long-secret-token", "TELLER_MISTRAL_API_KEY": "key-key-key"}

    loaded = load(None, {"home": str(tmp_path)}, environ)

    shown = f"{list(loaded.rows())} {loaded.settings!r}"
    assert "a-long-secret-token" not in shown
    assert "key-key-key" not in shown
    assert {name: value for name, value, _ in loaded.rows()}["server_token"] == "set"
    assert loaded.settings.server_token.get_secret_value() == "a-long-secret-token"


def test_every_setting_is_described():
    assert all(meaning for _, _, meaning in describe())


def test_the_tree_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Settings().server.port = 1


def test_a_host_for_adapters_belongs_to_the_generator_that_it_serves() -> None:
    with pytest.raises(ConfigError, match=r"engines\.adapter_host is vllm"):
        load(environ={"TELLER_ENGINES__ADAPTER_HOST": "vllm"})
    assert load(environ={"TELLER_ENGINES__ADAPTER_HOST": "vllm", "TELLER_ENGINES__GENERATOR": "openai"})
