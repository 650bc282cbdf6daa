"""The process that speaks: espeak-ng behind a pair of pipes, started by `espeak.py` and by nothing else.

espeak-ng is licensed under the GPL 3, so it is loaded here and never into Teller's own process. Texts come in, their
sound goes out, one after the other, until the input ends:

    on start     status (1 byte) + length (4 bytes, big-endian) + rate in Hz as ASCII digits
    request      length (4 bytes) + text, UTF-8
    reply        status (1 byte) + length (4 bytes) + samples, 16-bit little-endian mono

Status is 0, or 1 for a failure; the body is then a message.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import BinaryIO

import espeakng_loader

OK, FAILED = 0, 1
_MAX_TEXT_BYTES = 8_192

# From espeak-ng 1.52, speak_lib.h.
_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_RATE_PARAMETER = 1
_UTF8 = 1
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class _Voice(ctypes.Structure):
    """espeak_VOICE."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("_reserved", ctypes.c_ubyte),
        ("_score", ctypes.c_int),
        ("_spare", ctypes.c_void_p),
    )


class SpeakError(Exception):
    """The library refused."""


class Voice:
    """The library with one voice.

    Attributes:
        rate_hz: of what it speaks.

    Raises:
        SpeakError: if the library or the voice cannot be loaded.
    """

    def __init__(self, name: str, words_per_minute: int) -> None:
        try:
            library = ctypes.CDLL(espeakng_loader.get_library_path())
            data = os.fsencode(espeakng_loader.get_data_path())
        except (OSError, RuntimeError) as exc:
            raise SpeakError(f"the library cannot be loaded: {exc}") from exc
        self.rate_hz: int = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _DO_NOT_EXIT)
        if self.rate_hz <= 0:
            raise SpeakError("its data cannot be read")
        _choose_voice(library, name)
        library.espeak_SetParameter(_RATE_PARAMETER, words_per_minute, 0)
        self._library = library
        self._sound = bytearray()
        self._callback = _CALLBACK(self._keep)  # the library does not hold it: it must live as long as this object
        library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: bytes) -> bytes:
        """UTF-8 text to 16-bit samples.

        Raises:
            SpeakError: if the library refuses.
        """
        self._sound.clear()
        status = self._library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 0, 0, _UTF8, None, None)
        if status != 0:
            raise SpeakError(f"espeak_Synth gave status {status}")
        return bytes(self._sound)

    def _keep(self, samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._sound.extend(ctypes.string_at(samples, 2 * count))
        return 0


def _choose_voice(library: ctypes.CDLL, voice: str) -> None:
    """By language ("en-gb"), and with a variant if one is named ("en-gb+f3"); one that does not exist has no effect."""
    language, _, variant = voice.partition("+")
    wanted = _Voice(languages=language.encode())
    if library.espeak_SetVoiceByProperties(ctypes.byref(wanted)) != 0:
        raise SpeakError(f"there is no voice '{language}'")
    if variant:
        library.espeak_GetCurrentVoice.restype = ctypes.POINTER(_Voice)
        found = library.espeak_GetCurrentVoice().contents.identifier
        library.espeak_SetVoiceByName(found + b"+" + variant.encode())


def serve(requests: BinaryIO, replies: BinaryIO, voice: Voice) -> None:
    """Answer requests until there are no more."""
    while len(head := requests.read(4)) == 4:
        length = int.from_bytes(head, "big")
        if length > _MAX_TEXT_BYTES:
            raise SpeakError(f"a text of {length} bytes is too long")
        text = requests.read(length)
        try:
            reply(replies, OK, voice.speak(text.replace(b"\0", b" ")))
        except SpeakError as exc:
            reply(replies, FAILED, str(exc).encode())


def reply(out: BinaryIO, status: int, body: bytes) -> None:
    """Write one reply."""
    out.write(bytes([status]) + len(body).to_bytes(4, "big"))
    out.write(body)
    out.flush()


def main(voice: str, words_per_minute: str) -> int:
    """Run until the input ends; gives the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process by closing its input
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as replies:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing that the library prints gets among the replies
        try:
            speaking = Voice(voice, int(words_per_minute))
        except SpeakError as exc:
            reply(replies, FAILED, str(exc).encode())
            return 1
        reply(replies, OK, str(speaking.rate_hz).encode())
        serve(sys.stdin.buffer, replies, speaking)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
