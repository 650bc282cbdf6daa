"""Conversations to token ids, with a mark on each token that the assistant says: only those are learnt.

The base model's own chat template is used where it has `{% generation %}` marks. Where it has none, Mistral's template
with marks takes its place, if both write the same text: what is trained must be what is served.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import TemplateError
from numpy.typing import NDArray

from teller.errors import InputError
from teller.training.chat_data import Conversation

# A system message stands before the first question. The space before an answer is said by the assistant.
MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% set system = messages[0]['content'] + '\\n\\n' if messages[0]['role'] == 'system' else '' %}"
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + (system if loop.index0 < 2 and system else '') + message['content'] + '[/INST]' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{% generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}"
    "{% endif %}{% endfor %}"
)
_MARKS = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PROBE = [{"role": role, "content": text} for role, text in zip(["user", "assistant"] * 2, "abcd", strict=True)]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A conversation as the model sees it: (n,) ids, and (n,) whether each was said by the assistant."""

    ids: NDArray[np.int32]
    said: NDArray[np.bool_]


class ChatEncoder:
    """Encodes conversations for one base model.

    Args:
        tokenizer: a fast tokenizer of transformers.
        ends: ids that end an answer.
        context: longest conversation in tokens.

    Attributes:
        template: the chat template that is used, `template_sha256` its digest.

    Raises:
        InputError: if the tokenizer's chat template can neither be used nor be replaced.
    """

    def __init__(self, tokenizer: Any, *, ends: Collection[int], context: int) -> None:
        self._tokenizer, self._ends, self._context = tokenizer, frozenset(ends), context
        added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self._control = sorted(added | set(tokenizer.all_special_tokens))
        self.template = self._choose(tokenizer.chat_template)
        self.template_sha256 = hashlib.sha256(self.template.encode()).hexdigest()

    def encode(self, conversations: Sequence[Conversation]) -> list[Encoded | str]:
        """Encode; a text in the place of one that cannot be trained on says why."""
        results: list[Encoded | str] = [self._control_token(each) for each in conversations]
        chats, places = [], []
        for at, each in enumerate(conversations):
            if not results[at]:
                chats.append([{"role": message.role, "content": message.content} for message in each.messages])
                places.append(at)
        for at, result in zip(places, self._encode(chats), strict=True):
            results[at] = result
        return results

    def _encode(self, chats: list[list[dict[str, str]]]) -> list[Encoded | str]:
        if not chats:
            return []
        try:
            out = self._tokenizer.apply_chat_template(
                chats, chat_template=self.template, return_dict=True, return_assistant_tokens_mask=True
            )
        except (TemplateError, ValueError) as exc:
            if len(chats) == 1:
                return [f"the chat template refuses it ({str(exc)[:120]})"]
            return [result for chat in chats for result in self._encode([chat])]
        return [self._judge(*pair) for pair in zip(out["input_ids"], out["assistant_masks"], strict=True)]

    def _judge(self, ids: list[int], said: list[int]) -> Encoded | str:
        if len(ids) > self._context:
            return f"{len(ids)} tokens; the context of this run is {self._context}"
        if not any(said):
            return "the chat template marks no token as the assistant's: nothing would be learnt"
        encoded = Encoded(np.array(ids, np.int32), np.array(said, np.bool_))
        if not self._ends & set(encoded.ids[encoded.said].tolist()):
            return "the chat template marks no end of the answer: the model would not learn to stop"
        return encoded

    def _control_token(self, conversation: Conversation) -> str:
        for message in conversation.messages:
            for token in self._control:
                if token in message.content:
                    return f"a message holds the control token {token}"
        return ""

    def _choose(self, own: object) -> str:
        if own is None:
            return MISTRAL_TEMPLATE
        if not isinstance(own, str):
            raise InputError("the tokenizer has several chat templates; wanted one")
        if _MARKS.search(own):
            return own
        try:
            written = [self._write(template) for template in (own, MISTRAL_TEMPLATE)]
        except (TemplateError, ValueError) as exc:
            raise InputError(f"the tokenizer's chat template cannot be used ({str(exc)[:120]})") from exc
        if written[0] != written[1]:
            raise InputError(
                "the tokenizer's chat template has no {% generation %} marks and writes other text than Mistral's: "
                "put {% generation %} and {% endgeneration %} around what the assistant says"
            )
        return MISTRAL_TEMPLATE

    def _write(self, template: str) -> str:
        return str(self._tokenizer.apply_chat_template(_PROBE, chat_template=template, tokenize=False))
