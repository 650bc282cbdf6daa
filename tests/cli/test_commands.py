"""What all four command lines have in common."""

import importlib

import pytest
from typer.main import get_command

PROGRAMS = ("teller", "cache_manager", "adapter_control", "orchestrator_log")


def commands(program):
    """Name and command of everything that a program can be told to do."""
    todo = [(program, get_command(importlib.import_module(f"teller.cli.{program}").app))]
    while todo:
        name, command = todo.pop()
        inner = getattr(command, "commands", {})
        todo += [(f"{name} {word}", one) for word, one in inner.items()]
        if not inner:
            yield name, command


def options(command):
    return {name for one in command.params for name in one.opts}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_but_the_server_takes_json_and_says_what_it_does(program):
    told = dict(commands(program))
    assert [name for name, command in told.items() if "--json" not in options(command)] in ([], ["teller serve"])
    assert [name for name, command in told.items() if not (command.help or command.epilog)] == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_has_a_word_of_help(program):
    silent = [
        (name, one.name) for name, command in commands(program) for one in command.params if not getattr(one, "help", 1)
    ]
    assert silent == []
