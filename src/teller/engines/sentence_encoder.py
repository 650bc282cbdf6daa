"""Any sentence-transformers model as the embedder, for instance a multilingual one: needs PyTorch.

Not here: the model that runs without it (`engines/minilm.py`).
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from teller.errors import EngineError, EngineUnavailable
from teller.ports import Vectors


class SentenceEncoder:
    """Embeds with a sentence-transformers model; texts longer than it takes are cut.

    Args:
        model: folder of a model, or its name on the hub.
        allow_downloads: whether a model that is not on this machine may be fetched.
        device: as PyTorch names it.
        batch_texts: texts in one pass.

    Raises:
        EngineUnavailable: if the package or the model is missing or is not such a model.
    """

    def __init__(
        self, model: str, *, allow_downloads: bool = False, device: str = "cpu", batch_texts: int = 32
    ) -> None:
        try:
            package = importlib.import_module("sentence_transformers")
            self._torch: Any = importlib.import_module("torch")
        except ImportError as exc:
            raise EngineUnavailable("sentence-transformers is missing: pip install 'teller[transformers]'") from exc
        self._batch_texts = batch_texts
        self._lock = threading.Lock()  # its tokenizer must not be used by two threads at once
        try:
            where = _folder(model, allow_downloads=allow_downloads)
            self._model: Any = package.SentenceTransformer(where, device=device, local_files_only=True)
            self.dim = int(self._encode([""]).shape[1])
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as exc:
            wanted = "give the folder of a sentence-transformers model, or allow downloads"
            raise EngineUnavailable(f"the embedding model {Path(model).name} cannot be loaded: {wanted}") from exc
        self.name = f"{Path(model).name}-{self._digest()[:12]}"

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`."""
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        return await asyncio.to_thread(self._encode, [_encodable(text) for text in texts])

    async def embed_tokens(self, text: str) -> tuple[Vectors, Vectors]:
        """As `Embedder.embed_tokens`; a token is a word piece.

        Raises:
            EngineError: if the model gives no vectors for single tokens.
        """
        return await asyncio.to_thread(self._encode_tokens, _encodable(text))

    def _encode(self, texts: list[str]) -> Vectors:
        with self._lock:
            try:
                vectors = self._model.encode(
                    texts, batch_size=self._batch_texts, normalize_embeddings=True, show_progress_bar=False
                )
            except RuntimeError as exc:  # what PyTorch raises
                raise EngineError(f"the embedding model failed on {len(texts)} texts") from exc
        return np.asarray(vectors, dtype=np.float32)

    def _encode_tokens(self, text: str) -> tuple[Vectors, Vectors]:
        with self._lock:
            try:
                (found,) = self._model.encode([text], output_value=None, show_progress_bar=False)
                words = [one not in self._model.tokenizer.all_special_ids for one in found["input_ids"].tolist()]
                rows = found["sentence_embedding"], found["token_embeddings"][self._torch.tensor(words)]
            except (RuntimeError, KeyError, AttributeError) as exc:
                raise EngineError("the embedding model gave no vectors for single tokens") from exc
        # Unlike `normalize_embeddings` says, what comes with `output_value=None` is as long as the model made it.
        vector, tokens = (self._torch.nn.functional.normalize(row.float(), dim=-1).cpu().numpy() for row in rows)
        return vector, tokens

    def _digest(self) -> str:
        """Of the layers' settings and every weight: what vectors depend on."""
        digest = hashlib.sha256(str(self._model).encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(self._torch.uint8).numpy().data)
        return digest.hexdigest()


def _encodable(text: str) -> str:
    """The text with "?" for half surrogate pairs, which JSON may bring and tokenizers refuse."""
    return text.encode(errors="replace").decode()


def _folder(model: str, *, allow_downloads: bool) -> str:
    """Where the model lies; the only place that may ask the hub.

    sentence-transformers asks it for a name even if told to use local files only.
    """
    if Path(model).is_dir():
        return model
    hub = importlib.import_module("huggingface_hub")
    name = model if "/" in model else f"sentence-transformers/{model}"
    wanted = ["*.json", "*.txt", "*.model", "*.safetensors"]
    return str(hub.snapshot_download(name, local_files_only=not allow_downloads, allow_patterns=wanted))
