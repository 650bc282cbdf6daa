"""`adapter-control` on real homes: every command, on servers in other processes, with a killed one, with none."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import asdict

import pytest
from tests.adapters.adapter_folder import write_adapter
from tests.adapters.adapter_stage import AdapterHome, new_call, new_host
from tests.cache.cache_stage import BASIS, SCOPE, Stage, approved

from teller.adapter_desk import gate_cases
from teller.adapter_wiring import open_adapters
from teller.adapters.cases import cases_digest
from teller.cli.adapter_control import _COMMANDS, main
from teller.config import load
from teller.observers import Unobserved
from teller.stores.home import open_home
from teller.stores.sqlite_log import SqliteLog
from teller.turn import Hit, Question, Toggle
from teller.wiring import SystemClock

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*use of fork\\(\\):DeprecationWarning"
)  # a child ends by os._exit or -9


async def serve(asked, told):
    """A server on the home of the environment; for each line, the version that a turn of the call so named gets."""
    chosen, calls = load().settings, {}
    home = open_home(chosen.home)
    async with open_adapters(chosen, home, new_host(), Unobserved(), SystemClock(), serving=True) as adapters:
        told.write("up\n")
        while name := (await asyncio.to_thread(asked.readline)).strip():
            call = calls.setdefault(name, new_call(name))
            call.pin = call.pin or adapters.live.pin(call)
            told.write(f"{call.pin.served}\n")


class Process:
    """A server in a process of its own, forked: a start takes no imports."""

    def __init__(self):
        (asked, ask), (tell, told) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(ask)
            asyncio.run(serve(os.fdopen(asked), os.fdopen(told, "w", buffering=1)))
            os._exit(0)
        os.close(asked)
        os.close(told)
        self._ask, self._tell = os.fdopen(ask, "w", buffering=1), os.fdopen(tell)
        assert self._tell.readline() == "up\n"

    def turn(self, call: str) -> str | None:
        """Have a call by this name take a turn; gives the version that it is answered by."""
        self._ask.write(f"{call}\n")
        said = self._tell.readline().strip()
        return None if said == "None" else said

    def kill(self):
        """With -9."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._ask.close()
            self._tell.close()
        self.pid = 0


class Home(AdapterHome):
    """A home, the command line on it, and servers on it."""

    def __init__(self, path, monkeypatch, capsys):
        super().__init__(path)
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setenv("TELLER_HOME", str(path))
        monkeypatch.setenv("TELLER_ENGINES__LOCAL_MODEL", str(path / "no model"))

    def judge(self, version, **changes):
        digest = cases_digest(gate_cases(load().settings))
        super().judge(version, **({"cases_sha256": digest} | changes))

    def run(self, *args):
        """Exit code, standard output and standard error of one command."""
        self._monkeypatch.setattr(sys, "argv", ["adapter-control", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        return ended.value.code or 0, out, err

    def json(self, *args, code=0):
        found, out, err = self.run(*args, "--json")
        assert found == code, err
        return json.loads(out)

    @contextmanager
    def server(self):
        process = Process()
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    return Home(tmp_path / "home", monkeypatch, capsys)


@pytest.fixture
def one(home):
    return home.install(seed=1)


@pytest.fixture
def two(home, one):  # noqa: ARG001  installed after it
    return home.install(seed=2)


def test_the_form_with_load_works_on_running_servers_and_calls_in_progress_keep_their_version(home, one):
    with home.server() as first, home.server() as second:
        assert [first.turn("before"), second.turn("before")] == [None, None]

        code, out, _ = home.run("--load", "banking-lora", "--enable")

        assert code == 0
        assert one.served in out
        assert "2 running server(s)" in out
        for server in (first, second):
            assert (server.turn("before"), server.turn("during")) == (None, one.served)

        code, out, _ = home.run("--load", "banking-lora", "--disable", "--reason", "done")

        assert code == 0
        assert "new calls get the base model" in out
        for server in (first, second):
            assert (server.turn("during"), server.turn("after")) == (one.served, None)


def test_the_form_with_load_says_what_is_missing_where_no_server_runs_and_no_host_is_configured(home, one):
    code, _, err = home.run("--load", one.served, "--enable")

    assert code == 2
    assert "engines.generator" in err
    assert home.json("list")["live"] is None
    assert home.json("history")["records"][-1]["kind"] == Toggle.REFUSE


def test_a_server_that_is_killed_holds_nothing_up_and_what_is_live_survives_it(home, one, two):
    with home.server() as dying, home.server() as staying:
        home.json("enable", one.served)
        assert len(home.json("list")["servers"]) == 2
        dying.kill()

        found = home.json("enable", two.served)

        assert len(found["servers"]) == 1
        assert staying.turn("new") == two.served
    with home.server() as later:
        assert later.turn("new") == two.served


def test_rollback_canary_and_promotion_reach_a_running_server(home, one, two):
    with home.server() as server:
        home.json("enable", one.served)
        found = home.json("canary", two.served, "--share", "0.5")
        assert (found["live"], found["canary"], found["share"]) == (one.served, two.served, 0.5)
        assert {server.turn(f"canary-{number}") for number in range(40)} == {one.served, two.served}

        home.json("canary", "--promote")
        assert {server.turn(f"promoted-{number}") for number in range(10)} == {two.served}

        found = home.json("rollback", "--reason", "worse")
        assert (found["done"], found["live"], found["before"]) == (Toggle.ROLLBACK, one.served, two.served)
        assert server.turn("rolled-back") == one.served


def test_what_was_answered_with_a_version_is_purged_on_demand_and_by_a_rollback(home, one, two):
    bases = {
        version: type(BASIS)(**{**asdict(BASIS), "adapters": (version.digest,) if version else ()})
        for version in (None, one, two)
    }

    async def cached(fill: bool):
        log = SqliteLog(home.path / "cache" / "log.sqlite")
        cache = await Stage(log=log, clock=SystemClock()).open()
        found = {}
        for version, basis in bases.items():
            if fill:
                await cache.offer(Question("a fee"), approved(f"by {version}"), SCOPE, basis=basis)
            hit = await cache.lookup(Question("a fee"), SCOPE, basis=basis)
            found[version] = hit.answer.text if isinstance(hit, Hit) else None
        await cache.close()
        log.close()
        return found

    assert asyncio.run(cached(fill=True)) == {version: f"by {version}" for version in bases}
    with home.server():
        home.json("enable", one.served)
        home.json("enable", two.served)
        assert home.json("rollback")["purged"] == 1
        assert asyncio.run(cached(fill=False)) == {None: "by None", one: f"by {one}", two: None}
        assert home.json("disable", "--purge")["purged"] == 1
        assert asyncio.run(cached(fill=False)) == {None: "by None", one: None, two: None}


def test_the_gate_is_demanded_and_going_past_it_is_on_record(home):
    version = home.install(passed=False)
    with home.server() as server:
        code, _, err = home.run("enable", version.served)
        assert (code, server.turn("a")) == (2, None)
        assert "did not pass" in err

        home.json("enable", version.served, "--override", "--reason", "the regulator waits", "--by", "ada")

        assert server.turn("b") == version.served
    code, out, _ = home.run("history", "--verify")
    assert code == 0
    for words in ("refuse", "did not pass", "ada", "the regulator waits (gate overridden)", "is whole"):
        assert words in out


def test_list_and_show_say_what_is_live_and_what_is_known(home, one, two):
    with home.server():
        home.json("enable", one.served)
        home.json("canary", two.served)
        listed = home.json("list")
        assert {view["served"]: (view["live"], view["canary"]) for view in listed["versions"]} == {
            one.served: (True, False),
            two.served: (False, True),
        }
        assert listed["share"] == 0.1
        _, out, _ = home.run("list")
        assert "passed" in out
    shown = home.json("show", one.served)
    assert (shown["digest"], shown["rank"], shown["seed"]) == (one.digest, 4, 7)


def test_prove_looks_at_content_signature_and_base_and_says_what_it_cannot_see(home, one):
    found = home.json("prove", one.served)
    assert found["proven"]
    steps = {step["name"]: step["right"] for step in found["steps"]}
    assert steps == {"content": True, "signature": True, "only LoRA": True, "base unchanged": None}

    path = home.store.registry.find(one.served).folder / "adapter_config.json"
    path.chmod(0o600)
    path.write_text(path.read_text() + " ")
    assert not home.json("prove", one.served, code=1)["proven"]


def test_diff_names_what_differs_and_nothing_else(home, one, two):
    found = home.json("diff", one.served, two.served)
    assert next(row[0] for row in found["differ"]) == "adapter_tensors"
    assert "seed" not in [row[0] for row in found["differ"]]
    _, out, _ = home.run("diff", one.served, one.served)
    assert "differ in nothing" in out


def test_what_nobody_trusted_has_signed_is_imported_only_if_the_operator_vouches_for_it(home, tmp_path):
    folder = write_adapter(tmp_path / "unsigned")
    code, _, err = home.run("import", folder)
    assert code == 2
    assert "not signed" in err

    installed = home.json("import", folder, "--sign")["installed"]

    assert home.json("prove", installed)["steps"][1]["right"]
    assert home.json("import", folder, "--sign")["installed"] == installed


def test_a_log_that_was_tampered_with_is_named_and_ends_with_1(home, one):
    with home.server() as server:
        home.json("enable", one.served)
        path = home.root / "audit.jsonl"
        path.write_bytes(path.read_bytes().replace(b'"who":"', b'"who":"x'))
        for command in (("history",), ("list",), ("disable",), ("history", "--verify")):
            code, _, err = home.run(*command)
            assert code == 1, command
            assert "line 1" in err
        assert server.turn("new") is None


WRONG = (
    ("enable",),
    ("enable", "nothing"),
    ("enable", "../nothing"),
    ("disable", "nothing", "--nonsense"),
    ("rollback",),
    ("canary",),
    ("canary", "nothing", "--promote"),
    ("canary", "--promote"),
    ("canary", "nothing", "--share", "2"),
    ("show", "nothing"),
    ("prove", "nothing@zz"),
    ("diff", "a"),
    ("evaluate", "nothing"),
    ("import", "nowhere"),
    ("train", "--data", "nowhere.jsonl", "--name", "../x"),
    ("--load", "x"),
    ("--enable",),
    ("--load", "x", "--enable", "--disable"),
    ("--load", "x", "--enable", "list"),
    ("--disable", "--override"),
    ("--set", "adapters.nonsense=1", "list"),
)


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_ends_with_2_and_one_clear_line(home, arguments):
    code, _, err = home.run(*arguments)
    assert code == 2
    assert err.strip()
    assert "Traceback" not in err


NOT_IMPORTED = {
    "nowhere": "there is no folder of this name",
    "empty": "no adapter is in it; wanted a folder with adapter_config.json, adapter_model.safetensors and manifest",
    "file": "a file and no folder",
    "no-manifest": "only the training can write it; train it with",
    "no-weights": "adapter_model.safetensors missing",
    "checkpoint": "training_args.bin: a pickle can run code; copy",
    "folder-for-weights": "adapter_model.safetensors: no regular file",
}


def test_a_folder_that_cannot_be_imported_is_named_with_what_is_wrong_and_what_to_do(home, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    folders = {name: write_adapter(tmp_path / name) for name in list(NOT_IMPORTED)[3:]}
    (folders["no-manifest"] / "manifest.json").unlink()
    (folders["checkpoint"] / "training_args.bin").write_text("pickle")
    for name in ("no-weights", "folder-for-weights"):
        (folders[name] / "adapter_model.safetensors").unlink()
    (folders["folder-for-weights"] / "adapter_model.safetensors").mkdir()
    for name, reason in NOT_IMPORTED.items():
        code, _, err = home.run("import", tmp_path / name, "--sign")
        assert code == 2, name
        assert f"{tmp_path / name} is not installed" in err
        assert reason in err
    assert home.json("list")["versions"] == []


def test_a_name_that_is_not_there_is_refused_with_those_that_are(home, one):
    for name in ("nothing", f"{one.name}@0000"):
        code, _, err = home.run("show", name)
        assert code == 2
        assert one.name in err


def test_disabling_one_version_leaves_another_that_is_live(home, one, two):
    with home.server():
        home.json("enable", one.served)
        code, _, err = home.run("disable", two.served)
        assert code == 2
        assert f"{one.served} is live, not {two.served}" in err
        assert home.json("list")["live"] == one.served
        assert home.json("disable", one.served)["live"] is None


def test_a_picture_that_cannot_be_drawn_is_refused_before_the_work(home, one, tmp_path):
    for place in (tmp_path / "nowhere" / "x.png", tmp_path / "x.txt"):
        for command in (("evaluate", one.served), ("train", "--data", "nowhere.jsonl", "--name", "x")):
            code, _, err = home.run(*command, "--plot", place)
            assert code == 2
            assert str(place) in err


@pytest.mark.parametrize("name", [name for name, _, _ in _COMMANDS])
def test_every_command_explains_itself_with_an_example(home, name):
    code, out, _ = home.run(name, "--help")
    assert code == 0
    assert "Example" in out
    assert "--json" in out


def test_nothing_is_live_in_a_new_home_and_disabling_it_is_no_error(home):
    assert home.json("list") == {"live": None, "canary": None, "share": 0.0, "servers": [], "versions": []}
    assert home.json("disable")["done"] is None
    assert home.json("--load", "banking-lora", "--disable")["live"] is None
