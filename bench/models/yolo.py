"""YOLOv8: backbone, feature pyramid both ways, heads for boxes and for classes at three strides.

The nano size has 3.2 M parameters and 8.7 GFLOP at 640x640. The letters are those of its papers:
C2f splits, runs bottlenecks one after another and joins all of them; SPPF pools thrice.
"""
import torch
from torch import nn

from . import calibrate

STRIDES, WIDTHS, BINS, CLASSES = (8, 16, 32), (64, 128, 256), 16, 80


def conv(c_in, c_out, k=1, stride=1):
    return nn.Sequential(nn.Conv2d(c_in, c_out, k, stride, k // 2, bias=False),
                         nn.BatchNorm2d(c_out), nn.SiLU())


class C2f(nn.Module):
    def __init__(self, c_in, c_out, n=1, residual=False):
        super().__init__()
        half = c_out // 2
        self.first, self.last = conv(c_in, c_out), conv((2 + n) * half, c_out)
        self.blocks = nn.ModuleList(nn.Sequential(conv(half, half, 3), conv(half, half, 3))
                                    for _ in range(n))
        self.residual = residual

    def forward(self, x):
        parts = list(self.first(x).chunk(2, 1))
        for block in self.blocks:
            y = block(parts[-1])
            parts.append(parts[-1] + y if self.residual else y)
        return self.last(torch.cat(parts, 1))


class Sppf(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.first, self.last = conv(c, c // 2), conv(2 * c, c)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x):
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Backbone(nn.Module):
    """x (N,3,H,W) -> features at strides 8, 16 and 32"""

    def __init__(self):
        super().__init__()
        self.low = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2), C2f(32, 32, 1, True),
                                 conv(32, 64, 3, 2), C2f(64, 64, 2, True))
        self.mid = nn.Sequential(conv(64, 128, 3, 2), C2f(128, 128, 2, True))
        self.high = nn.Sequential(conv(128, 256, 3, 2), C2f(256, 256, 1, True), Sppf(256))

    def forward(self, x):
        p3 = self.low(x)
        p4 = self.mid(p3)
        return p3, p4, self.high(p4)


class Neck(nn.Module):
    """Features from coarse to fine and back: same shapes in and out."""

    def __init__(self):
        super().__init__()
        self.up = nn.Upsample(scale_factor=2)
        self.top4, self.top3 = C2f(384, 128), C2f(192, 64)
        self.down3, self.bottom4 = conv(64, 64, 3, 2), C2f(192, 128)
        self.down4, self.bottom5 = conv(128, 128, 3, 2), C2f(384, 256)

    def forward(self, p3, p4, p5):
        t4 = self.top4(torch.cat([self.up(p5), p4], 1))
        t3 = self.top3(torch.cat([self.up(t4), p3], 1))
        b4 = self.bottom4(torch.cat([self.down3(t3), t4], 1))
        return t3, b4, self.bottom5(torch.cat([self.down4(b4), p5], 1))


def head(c_in, width, c_out):
    return nn.Sequential(conv(c_in, width, 3), conv(width, width, 3), nn.Conv2d(width, c_out, 1))


class Yolo(nn.Module):
    """x (N,3,size,size) -> (N, 4 + classes, places): box in pixels, then the class probabilities"""

    def __init__(self, size):
        super().__init__()
        self.backbone, self.neck = Backbone(), Neck()
        self.box = nn.ModuleList(head(c, 64, 4 * BINS) for c in WIDTHS)
        self.label = nn.ModuleList(head(c, CLASSES, CLASSES) for c in WIDTHS)
        points, strides = [], []
        for stride in STRIDES:
            at = torch.arange(size // stride) + 0.5
            y, x = torch.meshgrid(at, at, indexing="ij")
            points.append(torch.stack([x, y]).flatten(1))
            strides.append(torch.full((1, x.numel()), float(stride)))
        self.register_buffer("points", torch.cat(points, 1)[None])
        self.register_buffer("strides", torch.cat(strides, 1)[None])
        self.register_buffer("bins", torch.arange(float(BINS)).view(1, BINS, 1, 1))

    def forward(self, x):
        features = self.neck(*self.backbone(x))
        box = torch.cat([h(p).flatten(2) for h, p in zip(self.box, features)], 2)
        label = torch.cat([h(p).flatten(2) for h, p in zip(self.label, features)], 2)
        # Each side of a box is a distribution over distances; its mean is what counts.
        box = box.view(box.shape[0], 4, BINS, -1).transpose(1, 2).softmax(1)
        before, after = (box * self.bins).sum(1).chunk(2, 1)
        low, high = self.points - before, self.points + after
        return torch.cat([torch.cat([(low + high) / 2, high - low], 1) * self.strides,
                          label.sigmoid()], 1)


def build(size=640):
    x = torch.randn(1, 3, size, size)
    return calibrate(Yolo(size), x), {"images": x}
