"""Two phases: what may become live, what is left when it may not, and what a kill at any point leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest
from tests.adapters.adapter_stage import DAY_S, TESTER, AdapterHome, eventually, new_call, new_host

from teller.adapters.control import Asked
from teller.engines.scripted import Fault
from teller.errors import BusyError, EngineError, EngineTimeout, InputError, StoreCorrupt, TellerError
from teller.turn import Toggle

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*use of fork\\(\\):DeprecationWarning"
)  # a child ends by os._exit or -9


@pytest.fixture
def home(tmp_path) -> AdapterHome:
    return AdapterHome(tmp_path)


@pytest.fixture
def one(home):
    return home.install(seed=1)


@pytest.fixture
def two(home, one):  # noqa: ARG001  installed after it
    return home.install(seed=2)


def kinds(home) -> list[str]:
    return [record.kind for record in home.ledger().history()]


async def test_an_enabled_version_is_live_on_every_server_before_the_command_returns(home, one):
    async with home.server(new_host()) as first, home.server(new_host()) as second:
        assert (first.serves(), second.serves()) == (None, None)

        flipped = await home.control().enable("banking-lora", TESTER)

        assert set(flipped.servers) == {first.id, second.id}
        assert (first.serves(), second.serves()) == (one.served, one.served)
        assert home.store.ledger.now().version == one


async def test_without_a_server_the_command_proves_the_version_itself_and_servers_load_it_at_start(home, one):
    host = new_host()

    flipped = await home.control(host).enable(one.served, TESTER)

    assert flipped.proven_here
    assert flipped.servers == ()
    async with home.server(new_host()) as server:
        assert server.serves() == one.served


async def test_without_a_server_and_without_a_host_nothing_is_enabled(home, one):
    with pytest.raises(InputError, match=r"engines\.generator"):
        await home.control().enable(one.served, TESTER)
    assert home.store.ledger.now().version is None
    assert kinds(home) == [Toggle.REFUSE]


async def refused(home, error, match, *, reference="banking-lora", asked=TESTER, host=None):
    """That enabling ends with this error, changes nothing and is on record with its reason."""
    before = home.ledger().now()
    with pytest.raises(error, match=match) as told:
        await home.control(host or new_host()).enable(reference, asked)
    after = home.ledger().now()
    assert (after.version, after.canary, after.earlier) == (before.version, before.canary, before.earlier)
    last = home.ledger().history()[-1]
    assert last.kind == Toggle.REFUSE
    assert last.body["why"] == str(told.value)


async def test_what_the_gate_did_not_pass_is_refused(home):
    home.install(passed=False)
    await refused(home, InputError, "did not pass")


async def test_what_was_never_evaluated_is_refused_unless_that_is_overridden_with_a_reason_on_record(home):
    version = home.install(passed=None)
    await refused(home, InputError, "never evaluated")
    await refused(home, InputError, "--reason", asked=Asked("tester", "", override=True))

    await home.control(new_host()).enable(version.served, Asked("tester", "the regulator waits", override=True))

    record = home.ledger().history()[-1]
    assert record.kind == Toggle.ENABLE
    assert record.body["facts"]["override"] is True
    assert record.body["why"] == "the regulator waits"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"base_digest": "b" * 64}, "another base model"),
        ({"cases_sha256": "d" * 64}, "cases have changed"),
        ({"at": 0.0}, "days ago"),
    ],
)
async def test_evidence_that_is_old_or_of_something_else_is_refused(home, changes, match):
    version = home.install(passed=None)
    home.judge(version, **changes)
    await refused(home, InputError, match)


async def test_evidence_from_tomorrow_is_within_the_difference_of_two_clocks_and_from_next_week_is_not(home, one):
    home.judge(one, at=home.clock.now() + DAY_S / 2)
    await home.control(new_host()).enable(one.served, TESTER)
    home.judge(one, at=home.clock.now() + 7 * DAY_S)
    await refused(home, InputError, "days ago")


async def test_evidence_that_was_edited_is_refused(home):
    version = home.install(passed=False)
    path = home.root / "evidence" / f"{version.digest}.json"
    path.write_bytes(path.read_bytes().replace(b'"passed":false', b'"passed":true'))
    await refused(home, StoreCorrupt, "changed")


async def test_a_version_that_was_altered_by_one_byte_is_refused(home, one):
    path = home.store.registry.find(one.served).folder / "adapter_model.safetensors"
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    await refused(home, StoreCorrupt, "changed after it was installed")


async def test_a_version_for_another_base_model_is_refused_by_the_host_that_serves(home, one):
    host = new_host()
    host.base_digest = "e" * 64
    await refused(home, InputError, "another base model", host=host)
    async with home.server(host) as server:
        with pytest.raises(EngineError, match="another base model"):
            await home.control().enable(one.served, TESTER)
        assert server.serves() is None


async def test_a_version_that_is_loaded_but_not_applied_is_refused(home, one):
    host = new_host()
    host.blind = True
    await refused(home, EngineError, "not applied", host=host)
    async with home.server(host) as server:
        with pytest.raises(EngineError, match=f"server {server.id}.*not applied"):
            await home.control().enable(one.served, TESTER)
        assert server.serves() is None
        await eventually(lambda: server.live.ready == {})


async def test_one_server_that_cannot_load_keeps_all_of_them_on_the_old_version(home, one, two):
    bad = new_host()
    async with home.server(new_host()) as first, home.server(bad) as second:
        await home.control().enable(one.served, TESTER)
        bad.faults["load"] = Fault(error=EngineError("out of memory"))

        with pytest.raises(EngineError, match="out of memory"):
            await home.control().enable(two.served, TESTER)

        assert (first.serves(), second.serves()) == (one.served, one.served)


async def test_a_server_that_hangs_is_waited_for_no_longer_than_allowed(home, one):
    host = new_host()
    host.faults["load"] = Fault()
    async with home.server(host) as server:
        with pytest.raises(EngineTimeout, match="did not load and prove"):
            await home.control(load_s=0.3).enable(one.served, TESTER)
        assert server.serves() is None


async def test_disabling_waits_for_no_engine_that_is_dead_or_hangs(home, one):
    host = new_host()
    async with home.server(host) as server:
        await home.control().enable(one.served, TESTER)
        call = new_call()
        call.pin = server.live.pin(call)
        for name in ("load", "unload", "resident", "fingerprint"):
            host.faults[name] = Fault()

        async with asyncio.timeout(1):
            await home.control().disable(TESTER)

        assert server.serves() is None
        assert call.pin.served == one.served


async def test_disabling_what_is_not_live_changes_nothing(home, one):
    assert await home.control().disable(TESTER) is None
    await home.control(new_host()).enable(one.served, TESTER)
    with pytest.raises(InputError, match="nothing was changed"):
        await home.control().disable(TESTER, "another")
    assert home.store.ledger.now().version == one


async def test_rollback_goes_back_step_by_step_to_the_base_model(home, one, two):
    control = home.control(new_host())
    await control.enable(one.served, TESTER)
    await control.enable(two.served, TESTER)
    seen = []
    for _ in range(2):
        await control.rollback(TESTER)
        seen.append(home.store.ledger.now().version)
    assert seen == [one, None]
    with pytest.raises(InputError, match="nothing was live before"):
        await control.rollback(TESTER)


async def test_rollback_after_a_disable_brings_the_version_back(home, one):
    control = home.control(new_host())
    await control.enable(one.served, TESTER)
    await control.disable(TESTER)
    assert (await control.rollback(TESTER)).live.version == one


async def test_rollback_to_a_version_that_is_gone_is_refused_and_disabling_still_works(home, one, two):
    control = home.control(new_host())
    await control.enable(one.served, TESTER)
    await control.enable(two.served, TESTER)
    home.store.registry.remove(home.store.registry.find(one.served))

    with pytest.raises(InputError):
        await control.rollback(TESTER)
    assert home.store.ledger.now().version == two
    await control.disable(TESTER)
    assert home.store.ledger.now().version is None


async def test_a_change_that_another_one_came_before_is_not_made(home, one, two):
    slow = new_host(delay_s=0.05)
    async with home.server(slow):
        enabling = asyncio.create_task(home.control().enable(one.served, TESTER))
        await asyncio.sleep(0.02)
        other = AdapterHome(home.path)
        other.store.ledger.write(_enable(two))

        with pytest.raises(BusyError, match="nothing was changed"):
            await enabling
    assert home.ledger().now().version == two


def _enable(version):
    from teller.adapters.ledger import Change

    return Change(toggle=Toggle.ENABLE, after=version, who="other", why="")


async def test_a_canary_gets_its_share_and_ends_with_the_next_change(home, one, two):
    async with home.server(new_host()) as server:
        await home.control().enable(one.served, TESTER)
        await home.control().canary(two.served, 0.25, TESTER)

        served = [server.serves(f"call-{number}") for number in range(2_000)]
        again = [server.serves(f"call-{number}") for number in range(2_000)]
        assert served == again
        assert set(served) == {one.served, two.served}
        assert 0.2 < served.count(two.served) / len(served) < 0.3

        await home.control().promote(TESTER)
        assert {server.serves(f"call-{number}") for number in range(50)} == {two.served}


async def test_a_canary_is_undone_by_rollback_and_by_withdrawing(home, one, two):
    control = home.control(new_host())
    await control.enable(one.served, TESTER)
    for undo in (control.rollback, control.withdraw):
        await control.canary(two.served, 0.1, TESTER)
        await undo(TESTER)
        live = home.ledger().now()
        assert (live.version, live.canary, live.share) == (one, None, 0.0)
    with pytest.raises(InputError, match="no canary"):
        await control.promote(TESTER)


@pytest.mark.parametrize("share", [0.0, -0.1, 0.6, 1.0, float("nan")])
async def test_a_share_that_is_none_is_refused(home, one, share):
    with pytest.raises(InputError, match="share"):
        await home.control(new_host()).canary(one.served, share, TESTER)


async def test_a_name_that_is_the_beginning_of_another_is_not_taken_for_it(home):
    short, long = home.install("bank", seed=3), home.install("bank-fraud", seed=4)
    async with home.server(new_host()) as server:
        await home.control().enable("bank-fraud", TESTER)
        assert server.serves() == long.served
        await home.control().enable("bank", TESTER)
        assert server.serves() == short.served
        with pytest.raises(InputError):
            await home.control().disable(TESTER, "ban")


async def test_a_disk_that_is_full_leaves_the_old_state(home, one, two, monkeypatch):
    control = home.control(new_host())
    await control.enable(one.served, TESTER)
    real = os.fsync

    def full(handle: int) -> None:
        real(handle)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TellerError, match="nothing was recorded"):
        await control.enable(two.served, TESTER)
    monkeypatch.undo()
    assert home.ledger().now().version == one


_STEPS = frozenset({"open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "fcntl.flock"})


def killed(home, action: str, at: int) -> tuple[int, int]:
    """A forked child that makes a change and is killed with -9 before its step `at`; how it ended, and its steps."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        count = 0

        def step(event, _):
            nonlocal count
            if event in _STEPS:
                count += 1
                if count == at:
                    os.kill(os.getpid(), signal.SIGKILL)

        control = AdapterHome(home.path).control(new_host())
        sys.addaudithook(step)
        asyncio.run(control.enable("banking-lora", TESTER) if action == "enable" else control.rollback(TESTER))
        os.write(write, str(count).encode())
        os._exit(0)
    os.close(write)
    _, status = os.waitpid(child, 0)
    with os.fdopen(read) as told:
        return os.waitstatus_to_exitcode(status), int(told.read() or 0)


@pytest.mark.parametrize("action", ["enable", "rollback"])
def test_a_kill_at_any_step_leaves_the_old_version_or_the_new_one(tmp_path, action):
    home = AdapterHome(tmp_path)
    one = home.install(seed=1)
    control = home.control(new_host())
    asyncio.run(control.enable(one.served, TESTER))
    two = home.install(seed=2)
    old, new = one, two
    if action == "rollback":
        asyncio.run(control.enable(two.served, TESTER))
        old, new = two, one

    code, steps = killed(home, action, 0)
    assert code == 0
    assert home.ledger().now().version == new
    found = set()
    for at in range(1, steps + 1):
        home.store.ledger.write(_enable(old))
        if action == "rollback":  # so that one step back is `new` again
            home.store.ledger.write(_enable(new))
            home.store.ledger.write(_enable(old))
        code, _ = killed(home, action, at)
        assert code == -signal.SIGKILL
        live = home.ledger().now()
        assert live.version in (old, new)
        assert live.canary is None
        found.add(live.version)
        home.store.ledger.refuse(Toggle.ENABLE, None, who="test", why="the log can still be written")
        assert home.ledger().now().version == live.version
    assert found == {old, new}
