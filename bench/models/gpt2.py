"""GPT-2 small (124 M parameters): over a prompt, or one token after cached keys and values."""
import torch
from torch import nn

WIDTH, HEADS, LAYERS, WORDS, PLACES = 768, 12, 12, 50257, 1024
HEAD = WIDTH // HEADS


class Block(nn.Module):
    """x (N,T,C); keys and values of the past (N,H,P,D) or None -> x, keys, values (N,H,P+T,D)"""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x, mask, past_k, past_v):
        n, t, _ = x.shape
        qkv = self.qkv(self.norm1(x)).view(n, t, 3, HEADS, HEAD)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if past_k is not None:
            k, v = torch.cat([past_k, k], 2), torch.cat([past_v, v], 2)
        p = ((q @ k.transpose(-1, -2)) * HEAD ** -0.5 + mask).softmax(-1)
        x = x + self.out((p @ v).transpose(1, 2).reshape(n, t, WIDTH))
        y = nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh")
        return x + self.down(y), k, v


class Gpt2(nn.Module):
    """ids (N,T), past k0 v0 k1 v1 .. -> logits of the last token (N,words), k0 v0 k1 v1 .."""

    def __init__(self, tokens, past):
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(PLACES, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, 0, 0.02)
        self.register_buffer("mask", torch.full((tokens, past + tokens), -1e4).triu(past + 1))
        self.register_buffer("at", torch.arange(past, past + tokens)[None])

    def forward(self, ids, *cache):
        x, new = self.words(ids) + self.places(self.at), []
        for i, block in enumerate(self.blocks):
            past = cache[2 * i:2 * i + 2] or (None, None)
            x, k, v = block(x, self.mask, *past)
            new += [k, v]
        return (self.norm(x[:, -1]) @ self.words.weight.T, *new)


def build(tokens, past=0):
    inputs = {"input_ids": torch.randint(0, WORDS, (1, tokens))}
    if past > 0:
        for i in range(LAYERS):
            for kind in "kv":
                inputs[f"past_{kind}{i}"] = torch.randn(1, HEADS, past, HEAD)
    return Gpt2(tokens, past).eval(), inputs
