"""Writes a trained checkpoint in every format that Whisper models come in.

Into `--ship`: what the repository carries, `model.safetensors.zst`, config.json and generation_config.json.
Into `--out`: `hf/` (transformers), `ct2/` (faster-whisper), `digits.ggml.bin` (whisper.cpp),
`digits.pt` (openai/whisper). All hold the same f16 numbers.

Usage: python export.py --checkpoint run/checkpoint.pt --out export [--ship ../models/digits.en]
"""
import argparse
import base64
import json
import struct
from pathlib import Path

import numpy as np
import torch
import whisper
import zstandard
from safetensors.torch import save, save_file

from features import mel_filters
from model import ALIGNMENT_HEADS, DIMS, Model, export_state

TOKENIZER = whisper.tokenizer.get_tokenizer(multilingual=False)
KEPT_BITS = 9  # of the 10 fraction bits of f16: the lowest is cleared, and the file compresses better

# openai/whisper's names -> those of transformers
PARTS = {"attn.query": "self_attn.q_proj", "attn.key": "self_attn.k_proj", "attn.value": "self_attn.v_proj",
         "attn.out": "self_attn.out_proj", "attn_ln": "self_attn_layer_norm",
         "cross_attn.query": "encoder_attn.q_proj", "cross_attn.key": "encoder_attn.k_proj",
         "cross_attn.value": "encoder_attn.v_proj", "cross_attn.out": "encoder_attn.out_proj",
         "cross_attn_ln": "encoder_attn_layer_norm", "mlp.0": "fc1", "mlp.2": "fc2", "mlp_ln": "final_layer_norm"}
WHOLE = {"decoder.token_embedding.weight": "decoder.embed_tokens.weight",
         "decoder.positional_embedding": "decoder.embed_positions.weight",
         "encoder.positional_embedding": "encoder.embed_positions.weight",
         "decoder.ln.weight": "decoder.layer_norm.weight", "decoder.ln.bias": "decoder.layer_norm.bias",
         "encoder.ln_post.weight": "encoder.layer_norm.weight", "encoder.ln_post.bias": "encoder.layer_norm.bias"}


def hf_name(name):
    if name in WHOLE:
        return "model." + WHOLE[name]
    if ".blocks." in name:
        side, _, layer, rest = name.split(".", 3)
        part, kind = rest.rsplit(".", 1)
        return f"model.{side}.layers.{layer}.{PARTS[part]}.{kind}"
    return "model." + name  # encoder.conv1 and conv2


def round_bits(x, kept):
    """Rounds f16 values to `kept` fraction bits (to nearest, away from zero on ties)."""
    drop = 10 - kept
    bits = x.view(torch.int16).to(torch.int32)
    magnitude, sign = bits & 0x7FFF, bits & 0x8000
    magnitude = (magnitude + (1 << drop >> 1)) >> drop << drop
    return (magnitude | sign).to(torch.int16).view(torch.float16)


def load_state(checkpoint):
    """The averaged weights of a checkpoint as f16, under openai/whisper's names."""
    model = Model()
    model.load_state_dict(torch.load(checkpoint)["average"])
    state = export_state(model)
    return {k: v if k == "encoder.positional_embedding" else round_bits(v, KEPT_BITS) for k, v in state.items()}


def openai_model(state):
    """The weights in openai/whisper's own code, in f32 on the CPU."""
    model = whisper.model.Whisper(whisper.model.ModelDimensions(**DIMS))
    model.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    return model.eval()


def config():
    d = DIMS
    return {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper",
            "activation_function": "gelu", "num_mel_bins": d["n_mels"], "vocab_size": d["n_vocab"],
            "d_model": d["n_audio_state"], "encoder_layers": d["n_audio_layer"], "decoder_layers": d["n_text_layer"],
            "encoder_attention_heads": d["n_audio_head"], "decoder_attention_heads": d["n_text_head"],
            "encoder_ffn_dim": 4 * d["n_audio_state"], "decoder_ffn_dim": 4 * d["n_text_state"],
            "max_source_positions": d["n_audio_ctx"], "max_target_positions": d["n_text_ctx"],
            "num_hidden_layers": d["n_audio_layer"], "scale_embedding": False, "is_encoder_decoder": True,
            "use_cache": True, "bos_token_id": TOKENIZER.eot, "eos_token_id": TOKENIZER.eot,
            "pad_token_id": TOKENIZER.eot, "decoder_start_token_id": TOKENIZER.sot, "torch_dtype": "float16",
            "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "encoder_layerdrop": 0.0,
            "decoder_layerdrop": 0.0, "init_std": 0.02, "tie_word_embeddings": True}


def suppressed():
    t = TOKENIZER
    return sorted([*t.non_speech_tokens, t.transcribe, t.translate, t.sot, t.sot_prev, t.sot_lm, t.no_speech])


def generation_config():
    t = TOKENIZER
    return {"align_with_timestamps": True,  # Boswell's own: the heads were trained beside timestamps
            "alignment_heads": [list(h) for h in ALIGNMENT_HEADS], "begin_suppress_tokens": [*t.encode(" "), t.eot],
            "bos_token_id": t.eot, "decoder_start_token_id": t.sot, "eos_token_id": t.eot, "pad_token_id": t.eot,
            "is_multilingual": False, "max_initial_timestamp_index": 50, "max_length": 448,
            "no_timestamps_token_id": t.no_timestamps, "prev_sot_token_id": t.sot_prev, "return_timestamps": False,
            "suppress_tokens": suppressed()}


def write_json(path, value, indent=1):
    Path(path).write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


def vocabulary():
    """The byte strings of the gpt2 tokens, by rank."""
    path = Path(whisper.__file__).parent / "assets" / "gpt2.tiktoken"
    return [base64.b64decode(line.split()[0]) for line in path.read_bytes().splitlines()]


def byte_letters():
    """gpt2's letter for each byte, so that any bytes make a printable string."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(rest)}


def merge_of(token, rank, ranks):
    """The two parts that byte-pair encoding joins last to make `token`."""
    parts = [bytes([b]) for b in token]
    while len(parts) > 2:
        best = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], rank))
        assert ranks.get(parts[best] + parts[best + 1], rank) < rank
        parts[best:best + 2] = [parts[best] + parts[best + 1]]
    return parts


def write_tokenizer(folder):
    """vocab.json, merges.txt, tokenizer.json and what transformers keeps beside them."""
    from tokenizers import AddedToken
    from transformers import WhisperTokenizerFast
    letters, raw = byte_letters(), vocabulary()
    ranks = {t: i for i, t in enumerate(raw)}

    def text(b):
        return "".join(letters[x] for x in b)

    write_json(folder / "vocab.json", {text(t): i for i, t in enumerate(raw)} | {"<|endoftext|>": TOKENIZER.eot}, None)
    merges = [" ".join(text(p) for p in merge_of(t, i, ranks)) for i, t in enumerate(raw) if len(t) > 1]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    fast = WhisperTokenizerFast(vocab_file=str(folder / "vocab.json"), merges_file=str(folder / "merges.txt"))
    special = {v: k for k, v in TOKENIZER.special_tokens.items()}
    special[TOKENIZER.no_speech] = "<|nocaptions|>"  # transformers' name for <|nospeech|>
    fast.add_tokens([AddedToken(special[i], normalized=False, special=i < TOKENIZER.timestamp_begin)
                     for i in range(TOKENIZER.sot, DIMS["n_vocab"])])
    assert fast.convert_tokens_to_ids("<|notimestamps|>") == TOKENIZER.no_timestamps and len(fast) == DIMS["n_vocab"]
    assert fast.encode(" one two", add_special_tokens=False) == TOKENIZER.encode(" one two")
    fast.save_pretrained(folder)


def write_hf(state, folder):
    folder.mkdir(parents=True, exist_ok=True)
    save_file({hf_name(k): v.contiguous() for k, v in state.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", config())
    write_json(folder / "generation_config.json", generation_config())
    write_json(folder / "preprocessor_config.json", {
        "chunk_length": 30, "feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 80, "hop_length": 160,
        "n_fft": 400, "n_samples": 480000, "nb_max_frames": 3000, "padding_side": "right", "padding_value": 0.0,
        "processor_class": "WhisperProcessor", "return_attention_mask": False, "sampling_rate": 16000})
    write_tokenizer(folder)


def write_ggml(state, path):
    """The file of whisper.cpp: header, mel filters, vocabulary, tensors (vectors and positions in f32)."""
    d, filters, words = DIMS, mel_filters().numpy(), vocabulary()
    with open(path, "wb") as f:
        f.write(struct.pack("<I", 0x67676D6C))
        f.write(struct.pack("<11i", d["n_vocab"], d["n_audio_ctx"], d["n_audio_state"], d["n_audio_head"],
                            d["n_audio_layer"], d["n_text_ctx"], d["n_text_state"], d["n_text_head"],
                            d["n_text_layer"], d["n_mels"], 1))
        f.write(struct.pack("<2i", *filters.shape) + filters.astype("<f4").tobytes())
        f.write(struct.pack("<i", len(words)))
        for word in words:
            f.write(struct.pack("<i", len(word)) + word)
        for name, tensor in state.items():
            value = tensor.numpy()
            if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
                value = value.reshape(-1, 1)
            single = value.ndim < 2 or name.endswith("positional_embedding") or value.shape[-1] == 1
            value = np.ascontiguousarray(value.astype("<f4" if single else "<f2"))
            f.write(struct.pack("<3i", value.ndim, len(name), 0 if single else 1))
            f.write(struct.pack(f"<{value.ndim}i", *reversed(value.shape)))
            f.write(name.encode() + value.tobytes())


def write_ct2(hf, folder):
    from ctranslate2.converters import TransformersConverter
    copied = ["tokenizer.json", "preprocessor_config.json"]
    TransformersConverter(str(hf), copy_files=copied, load_as_float16=False).convert(str(folder), force=True, quantization="float16")


def write_ship(state, folder):
    folder.mkdir(parents=True, exist_ok=True)
    data = save({hf_name(k): v.contiguous() for k, v in state.items()}, metadata={"format": "pt"})
    packed = zstandard.ZstdCompressor(level=22).compress(data)
    (folder / "model.safetensors.zst").write_bytes(packed)
    write_json(folder / "config.json", config())
    write_json(folder / "generation_config.json", generation_config())
    return len(data), len(packed)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", required=True)
    p.add_argument("--out", type=Path)
    p.add_argument("--ship", type=Path)
    opt = p.parse_args()
    state = load_state(opt.checkpoint)
    if opt.ship:
        print("model.safetensors: %d bytes, %d compressed" % write_ship(state, opt.ship))
    if opt.out:
        opt.out.mkdir(parents=True, exist_ok=True)
        write_hf(state, opt.out / "hf")
        write_ct2(opt.out / "hf", opt.out / "ct2")
        write_ggml(state, opt.out / "digits.ggml.bin")
        torch.save({"dims": DIMS, "model_state_dict": state}, opt.out / "digits.pt")


if __name__ == "__main__":
    main()
