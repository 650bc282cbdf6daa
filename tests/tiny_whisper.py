"""A Whisper of 100,000 parameters that has learnt to hear one sound, and to tell it from silence."""

from pathlib import Path

import ctranslate2
import numpy as np
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizerFast,
)

from teller.audio import Pcm

TEXT = "overdraft"  # a letter is a token; a space would be among those that faster-whisper suppresses
_END, _START, _SILENT, _NO_TIMES = "<|endoftext|>", "<|startoftranscript|>", "<|nospeech|>", "<|notimestamps|>"
_SPECIAL = [_START, "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
_SPECIAL += [_SILENT, _NO_TIMES]


def sound() -> Pcm:
    """Two seconds of something like a voice: a buzz in bursts."""
    time_s = np.arange(2 * 16_000) / 16_000
    buzz = sum(np.sin(2 * np.pi * 120 * n * time_s) / n for n in range(1, 20))
    return Pcm((4_000 * buzz * (np.sin(2 * np.pi * 4 * time_s) > -0.3)).astype(np.int16), 16_000)


def tiny_whisper(folder: Path) -> Path:
    """The folder of the model, made if it is not there: transformers' in `hf`, CTranslate2's in `ct2`."""
    if not folder.exists():
        tokenizer = _tokenizer()
        model = _model(tokenizer)
        _teach(model, tokenizer)
        for part in (model, tokenizer, WhisperFeatureExtractor()):
            part.save_pretrained(folder / "hf")
        converter = ctranslate2.converters.TransformersConverter(
            str(folder / "hf"), copy_files=["tokenizer.json", "preprocessor_config.json"]
        )
        converter.convert(str(folder / "ct2"))
    return folder


def _tokenizer() -> WhisperTokenizerFast:
    tokenizer = WhisperTokenizerFast(
        vocab={letter: n for n, letter in enumerate(sorted(ByteLevel.alphabet()))},
        merges=[],
        bos_token=_END,
        eos_token=_END,
        unk_token=_END,
        pad_token=_END,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": _SPECIAL})
    tokenizer.add_tokens([f"<|{n * 0.02:.2f}|>" for n in range(1_501)])
    return tokenizer


def _model(tokenizer: WhisperTokenizerFast) -> WhisperForConditionalGeneration:
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in [_END, *_SPECIAL]}
    ends = {"bos_token_id": ids[_END], "eos_token_id": ids[_END], "pad_token_id": ids[_END]}
    shared = {
        **ends,
        "decoder_start_token_id": ids[_START],
        "suppress_tokens": [],
        "begin_suppress_tokens": [ids[_END]],
    }
    torch.manual_seed(0)
    sizes = {
        f"{side}_{part}": n
        for side in ("encoder", "decoder")
        for part, n in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 64))
    }
    model = WhisperForConditionalGeneration(WhisperConfig(vocab_size=len(tokenizer), d_model=32, **sizes, **shared))
    model.generation_config = GenerationConfig(
        **shared,
        is_multilingual=True,
        lang_to_id={"<|en|>": ids["<|en|>"], "<|de|>": ids["<|de|>"]},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=ids[_NO_TIMES],
        max_length=448,
        return_timestamps=False,
        alignment_heads=[[0, 0]],
        prev_sot_token_id=ids["<|startofprev|>"],
    )
    return model


def _teach(model: WhisperForConditionalGeneration, tokenizer: WhisperTokenizerFast) -> None:
    extract = WhisperFeatureExtractor()
    heard = extract(
        [sound().samples / 32768, np.zeros(16_000)], sampling_rate=16_000, return_tensors="pt"
    ).input_features
    cut = heard[:1].clone()
    cut[..., 2 * 100 :] = 0  # faster-whisper fills a window up with zeros, transformers with silence
    heard = torch.cat([heard, cut])
    prompts = ([_START, "<|en|>", "<|transcribe|>", _NO_TIMES], [_START, _NO_TIMES])
    said = tokenizer.encode(TEXT, add_special_tokens=False)
    silent = tokenizer.convert_tokens_to_ids(_SILENT)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        encoded = model.get_encoder()(heard).last_hidden_state
        loss = torch.zeros(())
        for prompt in prompts:
            asked = tokenizer.convert_tokens_to_ids(prompt)
            wanted = torch.tensor([asked[1], *[-100] * (len(asked) - 2), *said, tokenizer.eos_token_id])
            for one in (0, 2):
                written = model(
                    encoder_outputs=(encoded[one : one + 1],), decoder_input_ids=torch.tensor([[*asked, *said]])
                )
                loss = loss + torch.nn.functional.cross_entropy(written.logits[0], wanted)
            unsure = model(encoder_outputs=(encoded[1:2],), decoder_input_ids=torch.tensor([asked]))
            shares = unsure.logits[0].log_softmax(-1)
            loss = loss - shares[0, silent] - shares[-1].mean()  # silence is "no speech", and then anything
        loss.backward()
        optimizer.step()
    model.eval()
