"""A sentence-transformers model of a few kilobytes, made on the spot, with random but fixed weights."""

from pathlib import Path


def write_tiny_bert(folder: Path, *, seed: int = 0) -> Path:
    """Write the model to a folder."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789?,.£"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "block", "my", "card", "how", "do", "i", "the", "what", "is"]
    vocabulary += [*letters, *(f"##{letter}" for letter in letters)]
    places = {word: at for at, word in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = Tokenizer(models.WordPiece(places, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", places["[CLS]"]), ("[SEP]", places["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(places), max_position_embeddings=64, **sizes)
    bert = folder / "bert"
    BertModel(config, add_pooling_layer=False).save_pretrained(bert)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names).save_pretrained(bert)
    layers = Transformer(str(bert), max_seq_length=64)
    encoder = folder / "encoder"
    SentenceTransformer(modules=[layers, Pooling(32)], device="cpu").save(str(encoder), create_model_card=False)
    return encoder
