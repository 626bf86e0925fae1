"""Image classifiers of torchvision with random weights."""
import torch
import torchvision

from . import calibrate


def build(name, size=224, **options):
    model = getattr(torchvision.models, name)(weights=None, **options)
    if name.startswith(("vit", "swin")):  # torchvision leaves their head at zero
        for m in model.modules():
            if isinstance(m, torch.nn.Linear):
                torch.nn.init.normal_(m.weight, 0, 0.02)
    x = torch.randn(1, 3, size, size)
    return calibrate(model, x), {"x": x}
