"""What `config show` says: every value once, as TOML would write it, with its origin, and no secret."""

import tomllib

from support.configurations import MACHINE, load

from supervisors.node.loading import load_config

TEXT = """\
[runtime]
name = "x"
drain = "90s"
[secrets]
mail = { env = "MAIL" }
key = { file = "key" }
[actors."/a b".args]
[actors."/x"]
use = "a:B"
args = { n = 1, deep = { list = [1, "two", true], api_key = "hunter2" }, password = "hunter2" }
memory_max = "2048MiB"
runs_in = "process"
secrets = ["mail"]
""".replace('[actors."/a b".args]\n', "")


def rows(tmp_path, text=TEXT):
    (tmp_path / "key").write_text("hunter2")
    loaded = load(tmp_path, text, {"MAIL": "hunter2"})
    return {row.key: (row.value, row.origin) for row in loaded.rows()}


def test_each_value_is_shown_with_its_origin(tmp_path):
    shown = rows(tmp_path)

    assert shown["runtime.name"] == ('"x"', "actors.toml:2")
    assert shown["runtime.drain"] == ('"1m30s"', "actors.toml:3")
    assert shown["runtime.timezone"] == ('"UTC"', "default")
    assert shown['actors."/x".memory_max'] == ('"2GiB"', "actors.toml:10")
    assert shown["defaults.child.shutdown"] == ('"10s"', "default")
    assert shown['actors."/sys/recorder".runs_in'][0] == '"process"'
    assert shown['actors."/sys/recorder".runs_in'][1].startswith("built-in:")


def test_secrets_are_shown_as_references_and_values_that_sound_like_one_hidden(tmp_path):
    shown = rows(tmp_path)

    assert shown["secrets.mail"] == ('{ env = "MAIL" }', "actors.toml:5")
    assert shown["secrets.key"][0] == '{ file = "key" }'
    assert shown['actors."/x".args'][0] == (
        '{ n = 1, deep = { list = [1, "two", true], api_key = "***" }, password = "***" }'
    )
    assert shown['actors."/x".secrets'][0] == '{ mail = "mail" }'
    assert "hunter2" not in str(shown)


def test_what_is_shown_reads_back_as_the_same_configuration(tmp_path):
    first = load_config(environ={}, directory=tmp_path, machine=MACHINE)

    text = "\n".join(f"{row.key} = {row.value}" for row in first.rows())
    second = load(tmp_path, text)

    assert tomllib.loads(text)
    assert second.config == first.config
