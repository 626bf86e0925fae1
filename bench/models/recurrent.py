"""Recurrent networks: two plain layers, and the scorer of a query-understanding service."""
import torch
from torch import nn


class Layers(nn.Module):
    """x (T,N,C) -> (T,N,C), two layers"""

    def __init__(self, kind, hidden):
        super().__init__()
        self.rnn = getattr(nn, kind)(hidden, hidden, 2)

    def forward(self, x):
        return self.rnn(x)[0]


class Scorer(nn.Module):
    """ids (N,T) -> score (N,1): word embedding with a convolution of width 3, two bidirectional
    layers of LSTM, attention pooling over the words, two dense layers."""

    def __init__(self, hidden, words=50000, width=256):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.conv = nn.Conv1d(width, width, 3, padding=1)
        self.rnn = nn.LSTM(width, hidden, 2, batch_first=True, bidirectional=True)
        self.attention = nn.Linear(2 * hidden, 1)
        self.dense, self.out = nn.Linear(2 * hidden, hidden), nn.Linear(hidden, 1)

    def forward(self, ids):
        x = self.embedding(ids)
        x = x + self.conv(x.transpose(1, 2)).relu().transpose(1, 2)
        y, _ = self.rnn(x)
        y = (self.attention(y).softmax(1) * y).sum(1)
        return self.out(self.dense(y).tanh()).sigmoid()


def layers(kind, hidden, length=100):
    return Layers(kind, hidden).eval(), {"x": torch.randn(length, 1, hidden)}


def scorer(hidden, length=32, words=50000):
    return Scorer(hidden, words).eval(), {"ids": torch.randint(0, words, (1, length))}
