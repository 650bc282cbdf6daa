"""The process that speaks with espeak-ng; started by `espeak.py` and by nothing else.

espeak-ng is licensed under the GPL 3, so it is loaded here and never into Teller's own process.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from functools import partial

import espeakng_loader

from teller.worker import Refused, serve

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


class Voice:
    """The library with one voice.

    Attributes:
        rate_hz: of what it speaks.

    Raises:
        Refused: if the library or the voice cannot be loaded.
    """

    def __init__(self, name: str, words_per_minute: int) -> None:
        try:
            library = ctypes.CDLL(espeakng_loader.get_library_path())
            data = os.fsencode(espeakng_loader.get_data_path())
        except (OSError, RuntimeError) as exc:
            raise Refused(f"the library cannot be loaded: {exc}") from exc
        self.rate_hz: int = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _DO_NOT_EXIT)
        if self.rate_hz <= 0:
            raise Refused("its data cannot be read")
        _choose_voice(library, name)
        library.espeak_SetParameter(_RATE_PARAMETER, words_per_minute, 0)
        self._library = library
        self._sound = bytearray()
        self._callback = _CALLBACK(self._keep)  # the library does not hold it: it must live as long as this object
        library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: bytes) -> bytes:
        """UTF-8 text to 16-bit samples.

        Raises:
            Refused: if the library refuses.
        """
        self._sound.clear()
        text = text.replace(b"\0", b" ")
        status = self._library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 0, 0, _UTF8, None, None)
        if status != 0:
            raise Refused(f"espeak_Synth gave status {status}")
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
        raise Refused(f"there is no voice '{language}'")
    if variant:
        library.espeak_GetCurrentVoice.restype = ctypes.POINTER(_Voice)
        found = library.espeak_GetCurrentVoice().contents.identifier
        library.espeak_SetVoiceByName(found + b"+" + variant.encode())


def open_voice(voice: str, words_per_minute: str) -> tuple[bytes, Callable[[bytes], bytes]]:
    """For `worker.serve`: the rate in Hz as digits; UTF-8 texts to 16-bit little-endian mono samples."""
    speaking = Voice(voice, int(words_per_minute))
    return str(speaking.rate_hz).encode(), speaking.speak


if __name__ == "__main__":
    sys.exit(serve(partial(open_voice, *sys.argv[1:])))
