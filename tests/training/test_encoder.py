"""Averaging trained encoders; training itself takes minutes."""

import numpy as np
import pytest
import torch

from teller.training.encoder import Encoder, averaged

pytestmark = pytest.mark.engine


def added(encoder, module):
    matrices = encoder.matrices()
    down, up = (matrices[f"{module}.lora_{half}"].astype(np.float32) for half in "AB")
    return up @ down


def wandered(seed):
    torch.manual_seed(seed)
    encoder = Encoder(rank=2)
    with torch.no_grad():
        for name, weight in encoder.model.named_parameters():
            if ".lora_B." in name:
                weight.normal_(std=0.02)
    return encoder


def test_encoders_average_to_the_mean_of_what_each_adds_to_the_weights():
    one, other = wandered(1), wandered(2)
    mean = averaged([one, other])
    for module in ("encoder.layer.0.attention.self.query", "encoder.layer.5.output.dense"):
        expected = (added(one, module) + added(other, module)) / 2
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(added(mean, module), expected, atol=1e-4)


def test_an_average_embeds_with_what_it_adds():
    encoder = wandered(3)
    asked = ["How do I block my card?"]
    same = averaged([encoder, encoder]).embed_all(asked)
    torch.testing.assert_close(same, encoder.embed_all(asked), atol=1e-5, rtol=0)
    assert not torch.allclose(same, Encoder().embed_all(asked), atol=1e-3)
