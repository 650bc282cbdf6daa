"""`teller`: serve, ask, chat, doctor, config; report, bench and nano have files of their own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from teller.cli.bench import bench
from teller.cli.edge import (
    AsJson,
    Assignments,
    ConfigFile,
    HomeFolder,
    Version,
    given,
    new_app,
    run_app,
    show_table,
)
from teller.cli.nano import app as nano_app
from teller.cli.report import report

if TYPE_CHECKING:
    from teller.audio import Pcm
    from teller.call import Call
    from teller.config import Settings
    from teller.turn import Speech, Transcript, TurnRecord
    from teller.wiring import Bot

_MOST_SOUND_BYTES = 100_000_000  # of a file with one spoken question

app = new_app(
    "teller",
    "A voicebot for banks: questions in, spoken or typed; right answers out, with the reason for each.",
    no_args_is_help=True,
)
app.add_typer(nano_app, name="nano")
app.command(epilog="Example: teller --set engines.generator=local bench --turns 500 --plot bench.png")(bench)
app.command(epilog="Example: teller report --since 30d --out november.html --png pictures")(report)


@app.callback()
def _options(
    context: typer.Context,
    config: ConfigFile = None,
    home: HomeFolder = None,
    assignments: Assignments = None,
    version: Version = False,  # noqa: ARG001  its callback ends the command
) -> None:
    context.obj = given(config, home, assignments)


@app.command(epilog="Example: teller serve --port 9000")
def serve(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; anything but loopback demands TELLER_SERVER_TOKEN.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
) -> None:
    """Serve the web page, the HTTP interface and the WebSocket."""
    from teller.server.serve import serve as run_server

    settings = context.obj.load(server_host=host, server_port=port).settings
    _say_if_first(settings)
    run_server(settings, announce=lambda line: typer.echo(line, err=True))


@app.command(
    epilog="Example: teller ask 'how much would ten thousand over five years cost me a month?' --speak answer.wav"
)
def ask(
    context: typer.Context,
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="The question. Left out if --audio is given.")
    ] = None,
    audio: Annotated[Path | None, typer.Option(help="A spoken question: WAV, FLAC, OGG or MP3.")] = None,
    speak: Annotated[Path | None, typer.Option(help="Write the spoken answer to this WAV file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Answer one question and stop."""
    if (question is None) == (audio is None):
        raise typer.BadParameter("give either a question or --audio FILE", param_hint="QUESTION")
    if question is not None and not question.strip():
        raise typer.BadParameter("it is empty", param_hint="QUESTION")

    recording = _read_sound(audio) if audio is not None else b""
    if speak is not None and (speak.is_dir() or not speak.parent.is_dir()):
        raise typer.BadParameter(f"{speak} is a folder, or in none that is there", param_hint="--speak")

    async def run() -> None:
        async with _bot(context, speech=audio is not None or speak is not None) as bot:
            heard = _typed(question) if question is not None else _recorded(bot, recording)
            record, sound = await _answer(bot, heard, speak=speak is not None)
            if speak is not None:
                _write_sound(speak, sound)
            _show(record, as_json=as_json)

    asyncio.run(run())


@app.command(epilog="Example: printf 'I want a loan\\n10000\\nfive years\\n' | teller chat --json")
def chat(context: typer.Context, as_json: AsJson = False) -> None:
    """Answer lines of standard input in one call.

    It ends with the input or Ctrl-C.
    """
    from teller.errors import InputError

    async def run() -> None:
        async with _bot(context, speech=False) as bot:
            call = bot.new_call()
            if sys.stdin.isatty():
                typer.echo(" ".join(bot.greeting()), err=True)
            async for line in _lines():
                if not line.strip():
                    continue
                try:
                    record, _ = await _answer(bot, _typed(line), speak=False, call=call)
                except InputError as exc:
                    _complain(exc, as_json=as_json)
                    continue
                _show(record, as_json=as_json)

    asyncio.run(run())


@app.command(epilog="Example: teller --set engines.generator=mistral doctor")
def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check every engine: is it here, does it work, how fast.

    Exit code 1 if what is configured cannot run.
    """
    from teller.doctor import examine

    checks = asyncio.run(examine(context.obj.load().settings))
    if as_json:
        typer.echo(json.dumps([check.as_dict() for check in checks]))
    else:
        show_table(("", "part", "configured", "where", "result"), [check.row() for check in checks])
    if not all(check.works for check in checks):
        raise typer.Exit(1)


@app.command(name="config", epilog="Example: TELLER_SERVER__PORT=9000 teller config")
def show_config(context: typer.Context, as_json: AsJson = False) -> None:
    """Show every setting and where its value came from."""
    loaded = context.obj.load()
    if as_json:
        typer.echo(json.dumps(loaded.as_dict()))
    else:
        show_table(("setting", "value", "from"), loaded.rows())


def _bot(context: typer.Context, *, speech: bool) -> AbstractAsyncContextManager[Bot]:
    from teller.wiring import open_bot

    settings = context.obj.load().settings
    _say_if_first(settings)
    return open_bot(settings, speech=speech)


def _say_if_first(settings: Settings) -> None:
    if not (settings.home / "knowledge").exists():
        typer.echo("First start: the bank's questions are embedded once, which takes half a minute or more.", err=True)


def _typed(text: str) -> Transcript:
    from teller.turn import Transcript

    return Transcript(text)


def _recorded(bot: Bot, data: bytes) -> Speech:
    from teller.turn import Speech

    return Speech(bot.read_sound(data))


def _read_sound(path: Path) -> bytes:
    """The file's bytes, before anything heavy is opened."""
    from teller.errors import InputError

    try:
        with path.open("rb") as file:
            data = file.read(_MOST_SOUND_BYTES + 1)
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror or type(exc).__name__}") from exc
    if len(data) > _MOST_SOUND_BYTES:
        raise InputError(f"{path}: more than {_MOST_SOUND_BYTES // 1_000_000} MB; one question is wanted")
    return data


async def _answer(
    bot: Bot, heard: Transcript | Speech, *, speak: bool, call: Call | None = None
) -> tuple[TurnRecord, list[Pcm]]:
    from teller.turn import Done, Sound

    sound: list[Pcm] = []
    async for event in bot.orchestrator.turn(heard, call or bot.new_call(), speak=speak):
        if isinstance(event, Sound):
            sound.append(event.pcm)
        elif isinstance(event, Done):
            return event.record, sound
    raise AssertionError("a turn ends with Done")


async def _lines() -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        yield line


def _write_sound(path: Path, pieces: list[Pcm]) -> None:
    import numpy as np

    from teller.audio import Pcm
    from teller.errors import EngineError, InputError

    if not pieces:
        raise EngineError("the synthesizer gave no sound; `teller doctor` says why")
    whole = Pcm(np.concatenate([piece.samples for piece in pieces]), pieces[0].rate_hz)
    try:
        path.write_bytes(whole.to_wav())
    except OSError as exc:
        raise InputError(f"{path}: cannot be written: {exc.strerror or type(exc).__name__}") from exc


def _show(record: TurnRecord, *, as_json: bool) -> None:
    from teller.server.messages import turn_view

    view = turn_view(record)
    if as_json:
        typer.echo(json.dumps(view))
        return
    total = sum(record.timings_ms.values())
    because = f", {record.answer.reason}" if record.answer.reason else ""
    cited = ", ".join(citation["id"] for citation in view["citations"])
    typer.echo(record.answer.text)
    typer.secho(f"  [{record.answer.source}{because}{'; ' + cited if cited else ''}; {total:.0f} ms]", dim=True)


def _complain(error: Exception, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": str(error)}))
    else:
        typer.secho(str(error), fg="red", err=True)


def main() -> None:
    """Entry point of the `teller` command."""
    run_app(app)
