"""Voice activity by Silero VAD 6, run by ONNX Runtime on one thread.

One `SileroVad` holds the session; each stream of sound gets its own small detector from `open_stream`. The weights come
out of the `silero-vad` wheel; the package itself is never imported, because it imports PyTorch.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidProtobuf, RuntimeException

from teller.audio import SPEECH_RATE_HZ
from teller.errors import EngineError, EngineUnavailable, InputError

_FRAME = 512  # samples: 32 ms, the only frame that the 16 kHz model takes (silero-vad 6.2.3, utils_vad.OnnxWrapper)
_CONTEXT = 64  # samples of the frame before, put in front
_STATE_SHAPE = (2, 1, 128)  # of the recurrent layer


class SileroVad:
    """The model, shared by any number of streams and threads.

    Args:
        model: ONNX file of another release; unset: the one in the installed wheel.

    Raises:
        EngineUnavailable: if the wheel or the file is missing, or is not such a model.
    """

    def __init__(self, model: Path | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        path = model or _packaged_model()
        try:
            session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        except OSError as exc:
            raise EngineUnavailable(f"the voice detector's model {path.name} cannot be read") from exc
        except (Fail, InvalidArgument, InvalidProtobuf, RuntimeException) as exc:
            raise EngineUnavailable(f"{path.name} is not an ONNX model") from exc
        if [i.name for i in session.get_inputs()] != ["input", "state", "sr"]:
            raise EngineUnavailable(f"{path.name} is not a Silero VAD 5 or 6 model")
        self._session = session

    def open_stream(self) -> SileroDetector:
        """A detector for one stream, at its beginning."""
        return SileroDetector(self._session)


class SileroDetector:
    """Voice activity in one stream of 16 kHz sound."""

    frame_samples = _FRAME

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._rate = np.array(SPEECH_RATE_HZ, dtype=np.int64)
        self._window = np.zeros((1, _CONTEXT + _FRAME), dtype=np.float32)
        self._state = np.zeros(_STATE_SHAPE, dtype=np.float32)

    def probability(self, frame: NDArray[np.int16]) -> float:
        """Probability, 0 to 1, that this 32 ms frame is speech; about 0.15 ms of work.

        Raises:
            InputError: if the frame is not (512,) int16.
            EngineError: if the model fails.
        """
        if frame.shape != (_FRAME,) or frame.dtype != np.int16:
            raise InputError(f"a frame has {_FRAME} int16 samples, got {frame.dtype} {frame.shape}")
        self._window[0, :_CONTEXT] = self._window[0, -_CONTEXT:]
        np.multiply(frame, 1 / 32768.0, out=self._window[0, _CONTEXT:])
        try:
            output, state = self._session.run(None, {"input": self._window, "state": self._state, "sr": self._rate})
        except (Fail, InvalidArgument, RuntimeException) as exc:
            raise EngineError("the voice detector failed on a frame") from exc
        self._state = state
        return float(output[0, 0])

    def reset(self) -> None:
        """Forget the stream so far."""
        self._window.fill(0)
        self._state = np.zeros(_STATE_SHAPE, dtype=np.float32)


def _packaged_model() -> Path:
    spec = importlib.util.find_spec("silero_vad")  # of a top-level package: finds it without importing it
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "data" / "silero_vad.onnx"
        if path.is_file():
            return path
    raise EngineUnavailable("the voice detector's weights are missing: pip install --no-deps 'silero-vad==6.2.3'")
