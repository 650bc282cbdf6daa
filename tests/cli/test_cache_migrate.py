"""`cache-manager migrate`: another embedder on an existing cache."""

import asyncio
import json
import sys

import pytest
from tests.cache.cache_stage import FEE, SCOPE, Stage, approved

from teller.cli.cache_manager import main
from teller.stores.sqlite_log import SqliteLog
from teller.wiring import SystemClock


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TELLER_HOME", str(tmp_path))

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["cache-manager", *args])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.mark.engine
def test_a_cache_of_another_embedder_is_refused_and_can_be_moved(run, tmp_path):
    async def filled():
        log = SqliteLog(tmp_path / "cache" / "log.sqlite")
        cache = await Stage(log=log, clock=SystemClock()).open()
        await cache.offer(FEE, approved(), SCOPE)
        log.close()

    asyncio.run(filled())
    code, _, err = run("explain", FEE.text)
    assert code != 0
    assert "cache-manager migrate" in err.replace("\n", " ")
    assert json.loads(run("migrate", "--json")[1]) == {"migrated": 1}
    assert run("explain", FEE.text)[0] == 0
    assert "nothing to move" in run("migrate")[1]
    assert json.loads(run("stats", "--json")[1])["entries"] == 1
