import asyncio
import os
import time

import pytest

from teller.audio import Pcm
from teller.engines.scripted import Fault, ScriptedSynthesizer
from teller.engines.spoken_cache import SpokenCache
from teller.errors import EngineError

TEXT = "Your card is on its way."


async def spoken(cache: SpokenCache, text: str = TEXT) -> list[bytes]:
    return [piece.samples.tobytes() async for piece in cache.speak(text)]


def files(folder):
    return sorted(folder.glob("*.pcm"))


async def test_the_second_asking_is_played_from_disk_in_the_same_pieces(tmp_path):
    voice = ScriptedSynthesizer()
    cache = SpokenCache(voice, tmp_path)
    first, second = [[piece async for piece in cache.speak(TEXT)] for _ in range(2)]
    assert voice.spoken == [TEXT]
    assert [(p.samples.tobytes(), p.rate_hz) for p in first] == [(p.samples.tobytes(), p.rate_hz) for p in second]


async def test_it_outlives_the_process_that_made_it(tmp_path):
    await spoken(SpokenCache(ScriptedSynthesizer(), tmp_path))
    voice = ScriptedSynthesizer()
    assert await spoken(SpokenCache(voice, tmp_path))
    assert voice.spoken == []


async def test_another_voice_has_its_own_sound(tmp_path):
    class OtherVoice(ScriptedSynthesizer):
        name = "other"

    await spoken(SpokenCache(ScriptedSynthesizer(), tmp_path))
    other = OtherVoice(word_s=0.2)
    await spoken(SpokenCache(other, tmp_path))
    assert other.spoken == [TEXT]


async def test_white_space_makes_no_difference(tmp_path):
    voice = ScriptedSynthesizer()
    cache = SpokenCache(voice, tmp_path)
    assert await spoken(cache, "Your  card\nis fine.") == await spoken(cache, "Your card is fine. ")
    assert len(voice.spoken) == 1


async def test_the_folder_holds_no_words(tmp_path):
    await spoken(SpokenCache(ScriptedSynthesizer(), tmp_path), "secretword")
    for path in files(tmp_path):
        assert "secret" not in path.name
        assert b"secret" not in path.read_bytes()


async def test_files_are_for_their_owner_alone(tmp_path):
    folder = tmp_path / "audio"
    await spoken(SpokenCache(ScriptedSynthesizer(), folder))
    assert folder.stat().st_mode & 0o077 == 0
    assert files(folder)[0].stat().st_mode & 0o077 == 0


async def test_a_turn_that_is_stopped_leaves_nothing(tmp_path):
    cache = SpokenCache(ScriptedSynthesizer(), tmp_path)
    stream = cache.speak(TEXT)
    await anext(stream)
    await stream.aclose()
    assert list(tmp_path.iterdir()) == []


async def test_a_turn_that_is_cancelled_leaves_nothing(tmp_path):
    cache = SpokenCache(ScriptedSynthesizer(fault=Fault(after=2)), tmp_path)
    turn = asyncio.create_task(spoken(cache))
    await asyncio.sleep(0.05)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert list(tmp_path.iterdir()) == []


async def test_a_voice_that_fails_half_way_leaves_nothing_and_the_error_comes_through(tmp_path):
    cache = SpokenCache(ScriptedSynthesizer(fault=Fault(2, EngineError("gone"))), tmp_path)
    with pytest.raises(EngineError, match="gone"):
        await spoken(cache)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: d[:10], lambda _: b"", lambda d: d[:-9] + b"\x7f" + d[-8:]]
)
async def test_a_broken_file_is_ignored_and_made_anew(tmp_path, damage):
    voice = ScriptedSynthesizer()
    cache = SpokenCache(voice, tmp_path)
    whole = await spoken(cache)
    (path,) = files(tmp_path)
    data = path.read_bytes()
    path.write_bytes(damage(data))
    assert await spoken(cache) == whole
    assert voice.spoken == [TEXT] * 2
    assert path.read_bytes() == data


async def test_the_least_recently_played_goes_first(tmp_path):
    voice = ScriptedSynthesizer()
    cache = SpokenCache(voice, tmp_path, max_bytes=9_900)  # three words of 3,200 bytes
    for age, word in enumerate(["alpha", "beta", "gamma"]):
        await spoken(cache, word)
        newest = max(files(tmp_path), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (time.time() - 100 + age,) * 2)
    await spoken(cache, "alpha")
    await spoken(cache, "delta")
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 9_900
    voice.spoken.clear()
    await spoken(cache, "alpha")
    await spoken(cache, "delta")
    assert voice.spoken == []
    await spoken(cache, "beta")
    assert voice.spoken == ["beta"]


async def test_files_of_other_processes_count(tmp_path):
    for word in ("alpha", "beta", "gamma"):
        await spoken(SpokenCache(ScriptedSynthesizer(), tmp_path), word)
    await spoken(SpokenCache(ScriptedSynthesizer(), tmp_path, max_bytes=7_000), "delta")
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 7_000


async def test_what_nobody_played_for_long_is_removed(tmp_path):
    await spoken(SpokenCache(ScriptedSynthesizer(), tmp_path), "old")
    (old,) = files(tmp_path)
    os.utime(old, (time.time() - 90_000,) * 2)
    await spoken(SpokenCache(ScriptedSynthesizer(), tmp_path, max_age_s=86_400), "new")
    assert not old.exists()
    assert len(files(tmp_path)) == 1


async def test_what_a_dead_process_left_half_written_is_removed(tmp_path):
    left, fresh = tmp_path / "a.part", tmp_path / "b.part"
    left.write_bytes(b"x")
    fresh.write_bytes(b"x")
    os.utime(left, (time.time() - 7_200,) * 2)
    await spoken(SpokenCache(ScriptedSynthesizer(), tmp_path))
    assert (left.exists(), fresh.exists()) == (False, True)


async def test_an_answer_larger_than_the_whole_cache_is_not_kept(tmp_path):
    await spoken(SpokenCache(ScriptedSynthesizer(), tmp_path, max_bytes=100))
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_cannot_be_written_costs_no_turn(tmp_path, caplog):
    (tmp_path / "audio").write_text("a file where the folder should be")
    assert await spoken(SpokenCache(ScriptedSynthesizer(), tmp_path / "audio"))
    assert "could not be kept" in caplog.text


async def test_a_voice_of_several_rates_is_passed_on_and_not_kept(tmp_path):
    class Odd(ScriptedSynthesizer):
        async def speak(self, _text):
            yield Pcm.silence(0.1, 8_000)
            yield Pcm.silence(0.1, 16_000)

    assert len(await spoken(SpokenCache(Odd(), tmp_path))) == 2
    assert list(tmp_path.iterdir()) == []


async def test_many_askings_at_once_leave_one_whole_file(tmp_path):
    cache = SpokenCache(ScriptedSynthesizer(delay_s=0.001), tmp_path)
    heard = await asyncio.gather(*(spoken(cache) for _ in range(8)))
    assert all(pieces == heard[0] for pieces in heard)
    assert len(list(tmp_path.iterdir())) == 1


async def test_clearing_removes_every_sound(tmp_path):
    voice = ScriptedSynthesizer()
    cache = SpokenCache(voice, tmp_path)
    await spoken(cache, "one")
    await spoken(cache, "two")
    assert await cache.clear() == 2
    assert list(tmp_path.iterdir()) == []
    await spoken(cache, "one")
    assert voice.spoken == ["one", "two", "one"]


async def test_clearing_before_anything_was_kept_is_fine(tmp_path):
    assert await SpokenCache(ScriptedSynthesizer(), tmp_path / "none").clear() == 0
