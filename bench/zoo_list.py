"""The zoo: name, class and source of every model of bench/zoo.

Source is (maker, options) of a network in bench/models/, which bench/export_zoo.py exports, or the
file of a real model that a package carries (scripts/deps, folder .models) with the shapes it gets.
Batch 1, fixed shapes, FP32. Quickest to export first.
"""
from collections import namedtuple

Network = namedtuple("Network", "maker options exporter", defaults=["graph"])
File = namedtuple("File", "path shapes")
Model = namedtuple("Model", "name kind source")

# Classes in the order of the table.
CNN, MOBILE, TRANSFORMER, RECURRENT = "cnn", "mobile", "transformer", "recurrent"
KINDS = {CNN: "large CNNs", MOBILE: "mobile nets and OCR", TRANSFORMER: "transformers",
         RECURRENT: "recurrent"}


def vision(name, **options):
    return Network("vision.build", {"name": name, **options})


def encoder(name, **options):
    return Network("encoder.build", {"make": name, **options})


def layers(kind, hidden):
    # The older exporter keeps LSTM and GRU as one node each.
    return Network("recurrent.layers", {"kind": kind, "hidden": hidden}, "script")


def scorer(hidden):
    return Network("recurrent.scorer", {"hidden": hidden}, "script")


OCR = "rapidocr_onnxruntime/models/"
ZOO = [
    Model("resnet18", CNN, vision("resnet18")),
    Model("resnet50", CNN, vision("resnet50")),
    Model("mobilenet_v2", MOBILE, vision("mobilenet_v2")),
    Model("mobilenet_v3_large", MOBILE, vision("mobilenet_v3_large")),
    Model("efficientnet_b0", MOBILE, vision("efficientnet_b0")),
    Model("bert_base", TRANSFORMER, encoder("bert")),
    Model("minilm_l6", TRANSFORMER, encoder("minilm", folder=".models")),
    Model("lstm256", RECURRENT, layers("LSTM", 256)),
    Model("gru256", RECURRENT, layers("GRU", 256)),
    Model("bing_bilstm256", RECURRENT, scorer(256)),
    Model("bing_bilstm512", RECURRENT, scorer(512)),
    Model("silero_vad", RECURRENT, File("silero_vad/data/silero_vad_16k_op15.onnx",
                                        {"input": [1, 576], "state": [2, 1, 128], "sr": []})),
    Model("ppocr_det", MOBILE, File(OCR + "ch_PP-OCRv4_det_infer.onnx", {"x": [1, 3, 640, 640]})),
    Model("ppocr_rec", MOBILE, File(OCR + "ch_PP-OCRv4_rec_infer.onnx", {"x": [1, 3, 48, 320]})),
    Model("ppocr_cls", MOBILE, File(OCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx",
                                    {"x": [1, 3, 48, 192]})),
    Model("yolov8n", CNN, Network("yolo.build", {})),
    Model("nudenet_320n", CNN, File("nudenet/320n.onnx", {"images": [1, 3, 320, 320]})),
    Model("magika", CNN, File("magika/models/standard_v3_3/model.onnx", {"bytes": [1, 2048]})),
    Model("squeezenet1_1", MOBILE, vision("squeezenet1_1")),
    Model("shufflenet_v2", MOBILE, vision("shufflenet_v2_x1_0")),
    Model("distilbert", TRANSFORMER, encoder("distilbert")),
    Model("densenet121", CNN, vision("densenet121")),
    Model("inception_v3", CNN, vision("inception_v3", size=299, aux_logits=False,
                                      init_weights=False)),
    Model("swin_t", TRANSFORMER, vision("swin_t")),
    Model("vit_b_16", TRANSFORMER, vision("vit_b_16")),
    Model("gpt2_prefill128", TRANSFORMER, Network("gpt2.build", {"tokens": 128})),
    Model("gpt2_decode", TRANSFORMER, Network("gpt2.build", {"tokens": 1, "past": 127})),
    Model("lstm1024", RECURRENT, layers("LSTM", 1024)),
    Model("gru1024", RECURRENT, layers("GRU", 1024)),
    Model("bing_bilstm1024", RECURRENT, scorer(1024)),
    Model("vgg16", CNN, vision("vgg16")),
]
