"""Every error that Teller raises on purpose.

    TellerError
    ├── InputError            what came in is wrong: a question, a sound, a file (also a ValueError)
    │   └── KnowledgeError    a knowledge or rate file is wrong: names the file and, where known, the line
    ├── ConfigError           a setting is wrong or missing (also a ValueError)
    ├── CallError             an event that the state of a call does not allow
    ├── EngineError           an engine failed on this input
    │   ├── EngineUnavailable its package, weights or key is missing: says what to install or set
    │   └── EngineTimeout     it did not answer in its time (retryable)
    ├── StoreError            something on disk or in a database failed
    │   └── StoreCorrupt      what is stored cannot be read: says where, and what to do
    └── BusyError             refused for load: try again (retryable)

A third party's error is translated once, in the engine or store that met it, `raise ... from exc`. Messages say what
was found, what was wanted and what to do; they carry no secret, no caller's words, no path that a caller could see.
"""

from __future__ import annotations


class TellerError(Exception):
    """Root of the tree; the edges catch this and show its message.

    Attributes:
        retryable: whether the same call may succeed later, unchanged.
        exit_code: exit code of a command that ends with it (1 failed, 2 wrong usage).
        http_status: status of an HTTP answer that ends with it.
    """

    retryable = False
    exit_code = 1
    http_status = 500


class InputError(TellerError, ValueError):
    """What came in cannot be used."""

    exit_code = 2
    http_status = 400


class KnowledgeError(InputError):
    """A knowledge, rate or catalogue file is wrong; the message begins with `file:line:` where the line is known."""

    exit_code = 1


class ConfigError(TellerError, ValueError):
    """A setting is wrong, unknown or missing."""

    exit_code = 2


class CallError(TellerError):
    """An event that the present state of a call does not allow."""

    http_status = 409


class EngineError(TellerError):
    """An engine failed on this input."""

    http_status = 502


class EngineUnavailable(EngineError):
    """An engine's package, weights or key is missing."""

    http_status = 503


class EngineTimeout(EngineError):
    """An engine did not answer in its time."""

    retryable = True
    http_status = 504


class StoreError(TellerError):
    """Something on disk or in a database failed."""


class StoreCorrupt(StoreError):
    """What is stored cannot be read."""


class BusyError(TellerError):
    """Refused because of load."""

    retryable = True
    http_status = 503
