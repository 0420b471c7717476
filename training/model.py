"""The network: Whisper as openai defines it, with a compact vocabulary while it trains.

Names and shapes are those of openai/whisper, but for the token embedding: the used
words are rows of their own, the timestamps are a linear map of the encoder's
sinusoids (a timestamp *is* an encoder position), and one row stands for all tokens
that are never used. `export_state` writes them out as the full table.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

import tokens

DIMS = dict(n_mels=80, n_audio_ctx=1500, n_audio_state=128, n_audio_head=2, n_audio_layer=4,
            n_vocab=tokens.N_VOCAB, n_text_ctx=448, n_text_state=128, n_text_head=2, n_text_layer=3)
ALIGNMENT_HEADS = [(1, 0), (2, 0)]  # (decoder layer, head): trained to look at the word being written


def sinusoids(length, channels):
    """[length, channels], as openai/whisper."""
    rates = torch.exp(-math.log(10000) / (channels // 2 - 1) * torch.arange(channels // 2))
    at = torch.arange(length)[:, None] * rates[None]
    return torch.cat([at.sin(), at.cos()], dim=1)


class Attention(nn.Module):
    def __init__(self, state, heads):
        super().__init__()
        self.heads = heads
        self.query, self.value, self.out = nn.Linear(state, state), nn.Linear(state, state), nn.Linear(state, state)
        self.key = nn.Linear(state, state, bias=False)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, source=None, mask=None, weights=False):
        """Returns [batch, n, state] and, if asked, the weights [batch, heads, n, len(source)]."""
        source = x if source is None else source
        q, k, v = self.split(self.query(x)), self.split(self.key(source)), self.split(self.value(source))
        if len(k) != len(q):  # several texts for one window
            k, v = (y.repeat_interleave(len(q) // len(k), 0) for y in (k, v))
        if weights:
            w = (q @ k.transpose(-1, -2)).float().mul(q.shape[-1] ** -0.5).softmax(-1)
            y = w.to(v.dtype) @ v
        elif mask:
            w, y = None, F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:  # the fused function's way back takes twice as long
            w, y = None, (q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1) @ v
        return self.out(y.transpose(1, 2).flatten(2)), w


class Block(nn.Module):
    def __init__(self, state, heads, cross):
        super().__init__()
        self.attn, self.attn_ln = Attention(state, heads), nn.LayerNorm(state)
        self.cross_attn = Attention(state, heads) if cross else None
        self.cross_attn_ln = nn.LayerNorm(state) if cross else None
        self.mlp = nn.Sequential(nn.Linear(state, 4 * state), nn.GELU(), nn.Linear(4 * state, state))
        self.mlp_ln = nn.LayerNorm(state)

    def forward(self, x, audio=None):
        x = x + self.attn(self.attn_ln(x), mask=None if audio is None else True)[0]
        w = None
        if audio is not None:
            y, w = self.cross_attn(self.cross_attn_ln(x), audio, weights=True)
            x = x + y
        return x + self.mlp(self.mlp_ln(x)), w


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        state = DIMS["n_audio_state"]
        self.conv1 = nn.Conv1d(DIMS["n_mels"], state, 3, padding=1)
        self.conv2 = nn.Conv1d(state, state, 3, stride=2, padding=1)
        self.register_buffer("positional_embedding", sinusoids(DIMS["n_audio_ctx"], state).half().float())
        self.blocks = nn.ModuleList(Block(state, DIMS["n_audio_head"], False) for _ in range(DIMS["n_audio_layer"]))
        self.ln_post = nn.LayerNorm(state)
        with torch.no_grad():  # sound as loud as the positions from the start, and attention to what is near
            self.conv1.weight.mul_(2.5)
            self.conv2.weight.mul_(3.0)
            for block in self.blocks:
                block.attn.query.weight.mul_(1.5)
                block.attn.key.weight.copy_(block.attn.query.weight)

    def forward(self, mel, origin):
        """- `mel`: [batch, 80, 2n]; `origin`: [batch], position of the first row.

        Returns [batch, n, state].
        """
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        rows = origin[:, None] + torch.arange(x.shape[1])
        x = x + self.positional_embedding[rows].to(x.dtype)
        for block in self.blocks:
            x, _ = block(x)
        return self.ln_post(x)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        state = DIMS["n_text_state"]
        self.words = nn.Parameter(torch.randn(tokens.TIMESTAMP, state) * 0.1)
        self.timestamps = nn.Linear(state, state)
        with torch.no_grad():
            nn.init.orthogonal_(self.timestamps.weight)
            self.timestamps.weight.mul_(0.15)
        self.register_buffer("stamps", sinusoids(tokens.N_TIMESTAMPS, state), persistent=False)
        self.positional_embedding = nn.Parameter(sinusoids(DIMS["n_text_ctx"], state) * 0.15)
        self.blocks = nn.ModuleList(Block(state, DIMS["n_text_head"], True) for _ in range(DIMS["n_text_layer"]))
        self.ln = nn.LayerNorm(state)
        self.point()

    @torch.no_grad()
    def point(self):
        """Starts the decoder as a pointer: training it from nothing takes far longer.

        Head 0 of each cross-attention looks at the time of a timestamp: its keys and queries both read the
        sinusoids. Head 1 of the first self-attention brings the latest timestamp to the tokens after it.
        """
        state = DIMS["n_text_state"]
        half = torch.eye(state)[torch.arange(0, state, 2)]        # [64, state]: every other sinusoid
        turn = self.timestamps.weight / self.timestamps.weight[0].norm()  # orthogonal
        mark = F.normalize(torch.randn(state), dim=0)             # what all timestamps share
        self.timestamps.bias.copy_(mark)
        for block in self.blocks:
            block.cross_attn.key.weight[:64] = 2.0 * half
            block.cross_attn.query.weight[:64] = 2.0 * half @ turn.T
        first = self.blocks[0].attn
        first.value.weight[64:] = half @ turn.T
        first.out.weight[:, 64:] = 0.2 * turn @ half.T
        first.key.weight[64:] = 2.5 * half
        first.query.weight[64:] = 2.5 * half
        first.key.weight[64] = 3.0 * mark
        first.query.weight[64] = 0.0
        first.query.bias[64] = 3.0

    def embedding(self):
        """[N_COMPACT, state]"""
        return torch.cat([self.words, self.timestamps(self.stamps).float()])

    def forward(self, ids, audio):
        """- `ids`: [batch, n]; `audio`: [batch or a divisor of it, positions, state].

        Returns log-probabilities [batch, n, N_COMPACT] (that of `UNUSED` is for all of them together)
        and the cross-attention weights of each layer."""
        with torch.autocast("cpu", enabled=False):
            table = self.embedding()
        x = F.embedding(ids, table) + self.positional_embedding[:ids.shape[1]]
        weights = []
        for block in self.blocks:
            x, w = block(x, audio)
            weights.append(w)
        with torch.autocast("cpu", enabled=False):
            logits = self.ln(x.float()) @ table.T
        share = torch.zeros(tokens.N_COMPACT)
        share[tokens.UNUSED] = math.log(tokens.N_UNUSED)
        return (logits + share).log_softmax(-1), weights


class Model(nn.Module):
    """The network and two helpers that are dropped at export: what is said in each frame, and how many words so far."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()
        self.frame_head = nn.Linear(DIMS["n_audio_state"], 12)
        self.count_head = nn.Linear(DIMS["n_audio_state"], 1)


def export_state(model):
    """The weights under openai/whisper's names, rounded to f16, the token table complete.

    Tokens that are never used share one row; zero logits differ nowhere between them.
    """
    state = {k: v.detach().float() for k, v in model.state_dict().items()
             if not k.startswith(("frame_head", "count_head", "decoder.words", "decoder.timestamps", "decoder.stamps"))}
    with torch.no_grad():
        compact = model.decoder.embedding().float()
    table = compact[tokens.UNUSED].repeat(tokens.N_VOCAB, 1)
    for k, full in enumerate(tokens.full_ids()):
        if full is not None:
            table[full] = compact[k]
    state["decoder.token_embedding.weight"] = table
    return {k: v.half() for k, v in state.items()}
