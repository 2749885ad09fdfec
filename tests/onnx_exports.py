"""Small networks of random weights with the inputs and outputs of real exports, and their files."""

import json

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from pyimagesearch.decomposition.adapted_map import LinearMap
from pyimagesearch.encoders import onnx_edit as edit
from pyimagesearch.encoders.adapted_head import with_head
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.miniatures import MiniatureNetwork, miniature_spec, with_miniatures

PATCH, DIM, JOINT_DIM, WORDS = 8, 6, 5, ("red", "green", "blue", "flower", "a")
MEAN, STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
# As transformers writes them for CLIP, for SigLIP and for DINOv2, but for smaller images.
CLIP = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 32},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": MEAN,
    "image_std": STD,
    "do_convert_rgb": True,
}
SIGLIP = {
    "image_processor_type": "SiglipImageProcessor",
    "do_resize": True,
    "size": {"height": 32, "width": 32},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}
DINO = {**CLIP, "image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 40}}
TIMM = {
    "architecture": "resnet18",
    "pretrained_cfg": {
        "input_size": [3, 32, 32],
        "interpolation": "bilinear",
        "crop_pct": 0.875,
        "crop_mode": "center",
        "mean": MEAN,
        "std": STD,
    },
}


class Graph:
    """Nodes and weights of a network that is being made."""

    def __init__(self, seed=0, kind=np.float32):
        self.nodes, self.weights = [], []
        self.random, self.kind = np.random.default_rng(seed), kind

    def add(self, operator, *inputs, **attributes):
        """Add a node; arrays become weights. Returns the name of its output."""
        names = []
        for value in inputs:
            if isinstance(value, np.ndarray):
                self.weights.append(numpy_helper.from_array(value, f"w{len(self.weights)}"))
                value = self.weights[-1].name
            names.append(value)
        output = attributes.pop("output", f"x{len(self.nodes)}")
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def normal(self, *shape):
        return self.random.normal(size=shape).astype(self.kind)

    def save(self, path, inputs, outputs, **settings):
        graph = helper.make_graph(self.nodes, "network", inputs, outputs, self.weights)
        opsets = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        onnx.checker.check_model(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, path, **settings)
        return path


def tensor(name, shape, kind=np.float32):
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape
    )


def vision_nodes(graph, outputs, class_token=True, side=32, source="pixel_values"):
    """Add a network of patches, as vision transformers are, with these outputs."""
    count = (side // PATCH) ** 2
    conv = graph.add("Conv", source, graph.normal(DIM, 3, PATCH, PATCH), strides=[PATCH] * 2)
    cells = graph.add("Reshape", conv, np.array([0, DIM, -1]))
    tokens = graph.add("Transpose", cells, perm=[0, 2, 1])
    if class_token:
        tokens = graph.add("Pad", tokens, np.array([0, 1, 0, 0, 0, 0]))
    mixed = graph.add("MatMul", graph.normal(count + class_token, count + class_token), tokens)
    graph.add("Identity", mixed, output="last_hidden_state")
    first = graph.add("Gather", mixed, np.array(0), axis=1)
    graph.add("Tanh", first, output="pooler_output")
    graph.add("MatMul", first, graph.normal(DIM, JOINT_DIM), output="image_embeds")
    shapes = {
        "last_hidden_state": ["n", "tokens", DIM],
        "pooler_output": ["n", DIM],
        "image_embeds": ["n", JOINT_DIM],
    }
    return [tensor(name, shapes[name], graph.kind) for name in outputs]


def save_vision(path, outputs, kind=np.float32, batch="n", sides=("h", "w"), **settings):
    """Write a vision transformer; `sides` as the export declares them."""
    external = settings.pop("external", {})
    graph = Graph(kind=np.float16 if kind == np.float16 else np.float32)
    if kind == np.float64:  # of which ONNX Runtime has no convolutions
        settings["source"] = graph.add("Cast", "pixel_values", to=TensorProto.FLOAT)
    found = vision_nodes(graph, outputs, **settings)
    channels = "num_channels" if sides == ("h", "w") else 3
    return graph.save(
        path, [tensor("pixel_values", [batch, channels, *sides], kind)], found, **external
    )


def save_convnet(path, channels_first=True, pooled=False, kind=np.float32):
    """Write a convolutional network with features of four axes, or with their average."""
    graph = Graph(kind=kind)
    source = "images" if channels_first else graph.add("Transpose", "images", perm=[0, 3, 1, 2])
    weights = graph.normal(DIM, 3, PATCH, PATCH)
    features = graph.add("Conv", source, weights, strides=[PATCH] * 2)
    shape = ["n", DIM, 4, 4]
    if pooled:
        features, shape = graph.add("GlobalAveragePool", features), ["n", DIM, 1, 1]
    elif not channels_first:
        features, shape = graph.add("Transpose", features, perm=[0, 2, 3, 1]), ["n", 4, 4, DIM]
    sides = ["n", 3, 32, 32] if channels_first else ["n", 32, 32, 3]
    return graph.save(path, [tensor("images", sides, kind)], [tensor(features, shape, kind)])


def save_joined(path):
    """Write a network adapted together with one of miniatures, of random weights, for 40 x 40."""
    graph = Graph()
    graph.add("Flatten", graph.add("ReduceMean", "images", axes=[1, 2], keepdims=0), output="codes")
    images = tensor("images", ["n", 40, 40, 3])
    graph.save(path, [images], [tensor("codes", ["n", 3])])
    whole = with_miniatures(Encoder.from_onnx(path))
    random = np.random.default_rng(0)
    matrix = random.standard_normal((3 * 5 * 5, 6)).astype(np.float32)
    cells = edit.Step("AveragePool", {"kernel_shape": [8, 8], "strides": [8, 8]})
    last = [edit.Step("MatMul", constants=[matrix]), edit.NORMALIZE]
    spec = miniature_spec(whole.spec)
    beside = MiniatureNetwork(spec, [[cells, edit.FLATTEN]], last)
    head = LinearMap(random.standard_normal((3 + 6, 5)).astype(np.float32), np.zeros(5, np.float32))
    with_head(whole, [head], beside).save_onnx(path)
    return path


def text_nodes(graph, mask=True, dim=JOINT_DIM, output="text_embeds"):
    """Add a text network, the weighted sum of the vectors of its words."""
    vectors = graph.add("Gather", graph.normal(len(WORDS) + 2, dim), "input_ids", axis=0)
    if mask:
        shown = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
        vectors = graph.add("Mul", vectors, graph.add("Unsqueeze", shown, np.array([2])))
    graph.add("ReduceSum", vectors, np.array([1]), keepdims=0, output=output)
    return [tensor(output, ["n", dim])]


def text_inputs(mask=True, length="tokens"):
    names = ["input_ids", "attention_mask"] if mask else ["input_ids"]
    return [tensor(name, ["n", length], np.int64) for name in names]


def save_text(path, mask=True, length="tokens", **settings):
    graph = Graph(1)
    outputs = text_nodes(graph, mask, **settings)
    return graph.save(path, text_inputs(mask, length), outputs)


def save_joint(path):
    """Write the network of images and texts in one file that optimum makes of CLIP."""
    graph = Graph()
    outputs = vision_nodes(graph, ["image_embeds"]) + text_nodes(graph)
    turned = graph.add("Transpose", "text_embeds", perm=[1, 0])
    graph.add("MatMul", "image_embeds", turned, output="logits_per_image")
    images = tensor("pixel_values", ["n", "num_channels", "h", "w"])
    scores = tensor("logits_per_image", ["n", "m"])
    return graph.save(path, [text_inputs()[0], images, text_inputs()[1]], [scores, *outputs])


def save_tokenizer(folder, **settings):
    """Write a tokenizer of WORDS, of which 0 is padding and 1 stands for unknown words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {word: i for i, word in enumerate(("<pad>", "<unk>", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.save(str(folder / "tokenizer.json"))
    defaults = {"model_max_length": 12, "pad_token": "<pad>"}
    write_json(folder / "tokenizer_config.json", {**defaults, **settings})


def write_json(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def save_clip(folder):
    """Write a folder of CLIP with both of its networks, as the hub has it."""
    write_json(folder / "preprocessor_config.json", CLIP)
    write_json(folder / "config.json", {"model_type": "clip"})
    save_vision(folder / "onnx" / "vision_model.onnx", ["last_hidden_state", "image_embeds"])
    save_text(folder / "onnx" / "text_model.onnx")
    save_tokenizer(folder)
    return folder


def outputs_of(path, **inputs):
    """Return the outputs of a network by their names."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def unit(codes):
    codes = np.asarray(codes, np.float32)
    return codes / np.linalg.norm(codes, axis=1, keepdims=True)


def rename(path, **names):
    """Give inputs and outputs of a network other names, {old: new}."""
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        for tensors in (node.input, node.output):
            for i, name in enumerate(tensors):
                tensors[i] = names.get(name, name)
    onnx.save(model, path)
    return path


def place_weights(path, location, attributes=False):
    """Move the weights of a network to a file `location` beside it; with `attributes` constants."""
    model = onnx.load(path)
    if attributes:
        for tensor in model.graph.initializer:
            constant = helper.make_node("Constant", [], [tensor.name], value=tensor)
            model.graph.node.insert(0, constant)
        del model.graph.initializer[:]
    tensors = list(model.graph.initializer)
    tensors += [a.t for node in model.graph.node for a in node.attribute if a.name == "value"]
    file = path.parent / location
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "wb") as weights:
        for tensor in tensors:
            data = tensor.raw_data
            entries = {"location": location, "offset": weights.tell(), "length": len(data)}
            weights.write(data)
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=str(value))
    path.write_bytes(model.SerializeToString())
    return file


def sentencepiece_model(pieces=("<unk>", "</s>", *(f"▁{word}" for word in WORDS))):
    """A SentencePiece model, of which 0 stands for unknown pieces and 1 ends a text."""

    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    data = b""
    for i, piece in enumerate(pieces):
        kind = {0: 2, 1: 3}.get(i, 1)  # unknown, control, normal
        score = np.float32(-i).tobytes()
        content = field(1, piece.encode()) + b"\x15" + score + bytes([3 << 3, kind])
        data += field(1, content)
    trainer = bytes([3 << 3, 1])  # Unigram
    return data + field(2, trainer)
