"""The networks of the zoo in PyTorch, a file a family, and what all of them need."""
import torch


def calibrate(model, *inputs):
    """Gives batch norms random weights and the statistics of one batch of noise.

    With the zeros and ones of a fresh network activations grow or die with depth, and then outputs
    of two runtimes cannot be compared.
    """
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for m in norms:
        torch.nn.init.uniform_(m.weight, 0.6, 1.2)
        torch.nn.init.normal_(m.bias, 0, 0.1)
        m.momentum = None  # the mean over all batches seen, which is one
    if norms:
        model.train()
        with torch.no_grad():
            model(*[torch.randn(4, *x.shape[1:]) for x in inputs])
    return model.eval()
