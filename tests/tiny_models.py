"""Real but tiny translators: trained in seconds on six sentences, in users' formats."""

from __future__ import annotations

import io
import json
import shutil

SENTENCES = {
    "the house is old": "la casa es vieja",
    "the garden is big": "el jardin es grande",
    "the dog sleeps here": "el perro duerme aqui",
    "she sees a bird": "ella ve un pajaro",
    "we drink cold water": "bebemos agua fria",
    "the house has X1 rooms": "la casa tiene X1 cuartos",
}


def sentencepiece_model(path):
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*SENTENCES, *SENTENCES.values()] * 10),
        model_writer=model,
        vocab_size=80,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def marian(directory, source, target):
    """Train a Marian model of one layer until it knows the sentences by heart."""
    import torch
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    directory.mkdir(parents=True)
    pieces = sentencepiece_model(directory / "source.spm")
    shutil.copy(directory / "source.spm", directory / "target.spm")
    words = ["</s>", "<unk>", *(pieces.id_to_piece(n) for n in range(3, len(pieces))), "<pad>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    (directory / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = MarianTokenizer(
        source_spm=str(directory / "source.spm"),
        target_spm=str(directory / "target.spm"),
        vocab=str(directory / "vocab.json"),
        source_lang=source,
        target_lang=target,
        model_max_length=32,
    )
    torch.manual_seed(0)
    model = MarianMTModel(
        MarianConfig(
            vocab_size=len(words),
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_position_embeddings=32,
            dropout=0.0,
            attention_dropout=0.0,
            activation_dropout=0.0,
            scale_embedding=True,
            pad_token_id=vocabulary["<pad>"],
            decoder_start_token_id=vocabulary["<pad>"],
            eos_token_id=0,
            bos_token_id=0,
            forced_eos_token_id=None,
        )
    )
    pairs = list(SENTENCES.items()) if source == "en" else [(b, a) for a, b in SENTENCES.items()]
    batch = tokenizer([a for a, _ in pairs], return_tensors="pt", padding=True)
    labels = tokenizer(
        text_target=[b for _, b in pairs], return_tensors="pt", padding=True
    ).input_ids
    labels[labels == vocabulary["<pad>"]] = -100

    def silence():
        # Marian starts from a zero embedding and never writes padding: CTranslate2 counts on it.
        model.get_input_embeddings().weight.data[vocabulary["<pad>"]] = 0
        model.final_logits_bias[0, vocabulary["<pad>"]] = -100

    silence()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        loss = model(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        silence()
        if loss < 0.02:
            break
    model.generation_config.max_length = None
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return float(loss.detach())


def argos_package(marian_directory, directory, source, target):
    """Convert a tiny Marian model into an Argos package."""
    from ctranslate2.converters import TransformersConverter

    directory.mkdir()
    TransformersConverter(str(marian_directory)).convert(str(directory / "model"))
    # Marian reads an end of sentence that Argos's own models do not.
    config = directory / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"add_source_eos": True}))
    shutil.copy(marian_directory / "source.spm", directory / "sentencepiece.model")
    said = {"from_code": source, "to_code": target, "package_version": "1.0"}
    (directory / "metadata.json").write_text(json.dumps(said))
