"""Networks that a stranger might send, by construction; as a script, opens each in a process.

`python -m tests.hostile_networks FOLDER COUNT` makes and opens COUNT of them; each must be refused
in one line or give codes, without a signal, within MAX_SECONDS and MAX_MEGABYTES.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pyimagesearch.encoders.onnx_facts import MESSAGES, TENSOR_LOCATION
from pyimagesearch.encoders.wire import BYTES, FIXED32, FIXED64, VARINT, fields

MAX_SECONDS, MAX_MEGABYTES = 60, 2048
SIDE = 8
IMAGES = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", SIDE, SIDE, 3])
ESCAPE = "\x1b]0;owned\x07\n[INFO] forged\r"


def network(nodes, weights=(), functions=(), opset=17, sparse=()) -> onnx.ModelProto:
    """A network from "images" to "codes"."""
    codes = helper.make_tensor_value_info("codes", TensorProto.FLOAT, ["n", 4])
    graph = helper.make_graph(nodes, "g", [IMAGES], [codes], list(weights))
    graph.sparse_initializer.extend(sparse)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))


def weight(name="w", shape=(SIDE * SIDE * 3, 4)):
    values = np.random.default_rng(0).standard_normal(shape, np.float32)
    return numpy_helper.from_array(values, name)


def good() -> onnx.ModelProto:
    """A network without harm: a linear map."""
    flat = helper.make_node("Flatten", ["images"], ["flat"])
    return network([flat, helper.make_node("MatMul", ["flat", "w"], ["codes"])], [weight()])


def number(value, name):
    return numpy_helper.from_array(np.array(value), name)


def external(tensor, location="secret", length=16):
    """Let a tensor be stored in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def in_initializer(location="secret"):
    model = good()
    external(model.graph.initializer[0], location, SIDE * SIDE * 3 * 16)
    return model


def in_attribute(location="secret"):
    tensor = external(number(np.zeros(4, np.float32), "t"), location)
    model = good()
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=tensor))
    model.graph.node.append(helper.make_node("Add", ["codes", "c"], ["sum"]))
    model.graph.output[0].name = "sum"
    return model


def in_branch(location="secret"):
    tensor = external(number(np.zeros(4, np.float32), "t"), location)
    out = helper.make_tensor_value_info("o", TensorProto.FLOAT, [4])
    branch = helper.make_graph([helper.make_node("Identity", ["t"], ["o"])], "b", [], [out])
    branch.initializer.append(tensor)
    model = good()
    model.graph.initializer.append(number(True, "yes"))
    choice = helper.make_node("If", ["yes"], ["c"], then_branch=branch, else_branch=branch)
    model.graph.node.append(choice)
    model.graph.node.append(helper.make_node("Add", ["codes", "c"], ["sum"]))
    model.graph.output[0].name = "sum"
    return model


def in_function(location="secret"):
    tensor = external(number(np.zeros(4, np.float32), "t"), location)
    body = [
        helper.make_node("Constant", [], ["c"], value=tensor),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "Plus", ["x"], ["y"], body, opsets)
    model = good()
    model.functions.append(function)
    model.graph.node.append(helper.make_node("Plus", ["codes"], ["sum"], domain="own"))
    model.graph.output[0].name = "sum"
    return model


def in_sparse(location="secret"):
    values = external(number(np.zeros(4, np.float32), "s"), location)
    indices = number(np.arange(4), "i")
    model = good()
    sparse = helper.make_sparse_tensor(number(np.zeros(4, np.float32), "s"), indices, [4])
    sparse.values.CopyFrom(values)
    model.graph.sparse_initializer.append(sparse)
    model.graph.node.append(helper.make_node("Add", ["codes", "s"], ["sum"]))
    model.graph.output[0].name = "sum"
    return model


def in_training(location="secret"):
    model = good()
    info = model.training_info.add()
    info.initialization.initializer.append(external(weight("t", (2, 2)), location))
    return model


REFERENCES = (in_initializer, in_attribute, in_branch, in_function, in_sparse, in_training)
LOCATIONS = ("secret", "./secret", "../secret", "/etc/hostname", "*/_ORT_MEM_ADDR_/*")


def with_texts(kind):
    """A network that makes texts, each from "tensor", "constant" or "cast"."""
    model = good()
    nodes = [helper.make_node("Identity", ["t"], ["text"])]
    if kind == "tensor":
        model.graph.initializer.append(number(np.array(["a" * 1000], object), "t"))
    elif kind == "constant":
        nodes.insert(0, helper.make_node("Constant", [], ["t"], value_string="a" * 1000))
    else:
        nodes.insert(0, helper.make_node("Cast", ["flat"], ["t"], to=TensorProto.STRING))
    nodes += [
        helper.make_node("Shape", ["text"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["sides"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["sides"], ["size"], keepdims=0),
        helper.make_node("Add", ["codes", "size"], ["sum"]),
    ]
    model.graph.node.extend(nodes)
    model.graph.output[0].name = "sum"
    return model


def loop(trips, going=True, body_nodes=(), condition="going"):
    """A Loop that adds 1 to a number; `trips` None means without a limit."""
    values = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
    ]
    outs = [
        helper.make_tensor_value_info("c_out", TensorProto.BOOL, []),
        helper.make_tensor_value_info("v_out", TensorProto.FLOAT, None),
    ]
    nodes = [
        helper.make_node("Identity", ["c"], ["c_out"]),
        helper.make_node("Add", ["v", "one"], ["v_out"] if not body_nodes else ["v_in"]),
        *body_nodes,
    ]
    body = helper.make_graph(nodes, "body", values, outs)
    model = good()
    constants = [number(going, "going"), number(np.float32(1), "one")]
    if isinstance(trips, int):
        constants.append(number(trips, "trips"))
    model.graph.initializer.extend(constants)
    inputs = ["" if trips is None else "trips", condition, "codes"]
    model.graph.node.append(helper.make_node("Loop", inputs, ["sum"], body=body))
    model.graph.output[0].name = "sum"
    return model


def nested_loops(trips, depth):
    model = loop(trips)
    [outer] = [node for node in model.graph.node if node.op_type == "Loop"]
    for _ in range(depth):
        inner = onnx.NodeProto()
        inner.CopyFrom(outer)
        inner.input[2] = "v"
        inner.output[0] = "v_out"
        body = next(a.g for a in outer.attribute if a.name == "body")
        del body.node[1:]
        body.node.append(inner)
    return model


def computed_trips(count):
    """A Loop whose number of iterations is computed from the number of images."""
    model = loop("computed")
    model.graph.initializer.extend([number(count, "count"), number(np.array(0), "zero")])
    at = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Loop")
    for node in (
        helper.make_node("Mul", ["n", "count"], ["trips"]),
        helper.make_node("Gather", ["shape", "zero"], ["n"]),
        helper.make_node("Shape", ["images"], ["shape"]),
    ):
        model.graph.node.insert(at, node)
    return model


def scan(length):
    """A Scan over a long axis."""
    state = helper.make_tensor_value_info("v", TensorProto.FLOAT, None)
    item = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    out = helper.make_tensor_value_info("v_out", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [helper.make_node("Add", ["v", "x"], ["v_out"])], "body", [state, item], [out]
    )
    model = good()
    model.graph.initializer.append(number(np.array([length]), "length"))
    model.graph.node.extend(
        [
            helper.make_node("ConstantOfShape", ["length"], ["long"]),
            helper.make_node("Scan", ["codes", "long"], ["sum"], body=body, num_scan_inputs=1),
        ]
    )
    model.graph.output[0].name = "sum"
    return model


def large(operator, sides):
    """A network that makes a large array of a small number, and sums it up."""
    model = good()
    size = number(np.array(sides, np.int64), "size")
    one = number(np.ones([1] * len(sides), np.float32), "small")
    model.graph.initializer.extend([size, one])
    inputs = {"ConstantOfShape": ["size"], "Expand": ["small", "size"], "Tile": ["small", "size"]}
    model.graph.node.extend(
        [
            helper.make_node(operator, inputs[operator], ["large"]),
            helper.make_node("ReduceSum", ["large"], ["total"], keepdims=0),
            helper.make_node("Add", ["codes", "total"], ["sum"]),
        ]
    )
    model.graph.output[0].name = "sum"
    return model


def added_to_codes(model, tensor):
    """The network with the first value of a tensor added to its codes, so that it is computed."""
    constants = [number(np.array([-1]), "all"), number(np.array(0), "first")]
    model.graph.initializer.extend(constants)
    model.graph.node.extend(
        [
            helper.make_node("Reshape", [tensor, "all"], ["row"]),
            helper.make_node("Gather", ["row", "first"], ["value"]),
            helper.make_node("Cast", ["value"], ["added"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["codes", "added"], ["sum"]),
        ]
    )
    model.graph.output[0].name = "sum"
    return model


def uncounted(kind, count):
    """A network whose memory is not all in the arena that ONNX Runtime limits.

    `kind` is an operator, which makes lists of its own of `count` ones, or "folded": as many
    constants of 40 MB, which are computed when the network is opened.
    """
    model = good()
    model.graph.initializer.append(number(np.array([count]), "size"))
    ones = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["mean"], ["one"], to=TensorProto.BOOL),
        helper.make_node("Expand", ["one", "size"], ["ones"]),
    ]
    nodes = {
        "NonZero": [*ones, helper.make_node("NonZero", ["ones"], ["made"])],
        "Unique": [
            *ones,
            helper.make_node("Cast", ["ones"], ["bytes"], to=TensorProto.INT8),
            helper.make_node("Unique", ["bytes"], ["u", "i", "made", "c"]),
        ],
        "SplitToSequence": [
            *ones,
            helper.make_node("Cast", ["ones"], ["bytes"], to=TensorProto.INT64),
            helper.make_node("SplitToSequence", ["bytes"], ["parts"]),
            helper.make_node("SequenceLength", ["parts"], ["made"]),
        ],
    }
    if kind != "folded":
        model.graph.node.extend(nodes[kind])
        return added_to_codes(model, "made")
    model.graph.initializer.append(number(np.array([10_000_000]), "side"))
    for i in range(count):
        value = helper.make_tensor("value", TensorProto.FLOAT, [1], [float(i + 1)])
        model.graph.node.append(
            helper.make_node("ConstantOfShape", ["side"], [f"c{i}"], value=value)
        )
    model.graph.node.append(helper.make_node("Sum", [f"c{i}" for i in range(count)], ["made"]))
    return added_to_codes(model, "made")


def slow_to_open(count):
    """A network with products of large constants, which are computed when it is opened."""
    model = good()
    model.graph.initializer.append(number(np.array([4000, 4000]), "size"))
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [1e-4])
    made = helper.make_node("ConstantOfShape", ["size"], ["c0"], value=value)
    model.graph.node.append(made)
    for i in range(count):
        model.graph.node.append(helper.make_node("MatMul", [f"c{i}", f"c{i}"], [f"c{i + 1}"]))
    return added_to_codes(model, f"c{count}")


def large_product(side):
    """A product of matrices that are computed, of about 2 * side**3 operations."""
    model = good()
    model.graph.initializer.append(number(np.array([side, side]), "size"))
    model.graph.node.extend(
        [
            helper.make_node("RandomNormalLike", ["images"], ["noise"]),
            helper.make_node("ReduceMean", ["noise"], ["mean"], keepdims=0),
            helper.make_node("Expand", ["mean", "size"], ["a"]),
            helper.make_node("MatMul", ["a", "a"], ["b"]),
            helper.make_node("ReduceSum", ["b"], ["total"], keepdims=0),
            helper.make_node("Add", ["codes", "total"], ["sum"]),
        ]
    )
    model.graph.output[0].name = "sum"
    return model


def claimed(dims):
    """A weight that claims to be larger than it is."""
    model = good()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    return model


def named(text, failing=True):
    """A network with this text as all of its names, which fails when it runs."""
    model = good()
    for node in model.graph.node:
        node.name = text
        node.doc_string = text
    model.producer_name = text
    model.graph.name = text
    if failing:
        model.graph.node.append(helper.make_node("Reshape", ["codes", "shape"], ["sum"], name=text))
        model.graph.initializer.append(number(np.array([7, 11, -1]), "shape"))
        model.graph.output[0].name = "sum"
    return model


def sized(batch, height, width, settings=None):
    """A network that claims to take this many images of this size at once."""
    model = good()
    sides = model.graph.input[0].type.tensor_type.shape.dim
    for side, value in zip(sides, (batch, height, width), strict=False):
        side.dim_value = value
    if settings is not None:
        helper.set_model_props(model, {"input_spec.json": settings})
    return model


def unknown_operator(text):
    model = good()
    model.graph.node[1].op_type = text
    return model


def deep(depth):
    """Branches within branches."""
    out = helper.make_tensor_value_info("o", TensorProto.FLOAT, [4])
    graph = helper.make_graph([helper.make_node("Identity", ["w4"], ["o"])], "b", [], [out])
    for _ in range(depth):
        choice = helper.make_node("If", ["yes"], ["o"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([choice], "b", [], [out])
        if graph.ByteSize() > 1 << 20:
            break
    model = good()
    model.graph.initializer.extend([number(True, "yes"), number(np.ones(4, np.float32), "w4")])
    model.graph.node.append(graph.node[0])
    model.graph.node.append(helper.make_node("Add", ["codes", "o"], ["sum"]))
    model.graph.output[0].name = "sum"
    return model


def doubling_functions(depth):
    """Functions that call the one before twice: 2**depth nodes once they are inlined."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    body = [helper.make_node("Relu", ["x"], ["y"])]
    functions = [helper.make_function("own", "F0", ["x"], ["y"], body, opsets)]
    for i in range(depth):
        calls = [
            helper.make_node(f"F{i}", ["x"], ["z"], domain="own"),
            helper.make_node(f"F{i}", ["z"], ["y"], domain="own"),
        ]
        functions.append(helper.make_function("own", f"F{i + 1}", ["x"], ["y"], calls, opsets))
    model = good()
    model.functions.extend(functions)
    model.graph.node.append(helper.make_node(f"F{depth}", ["codes"], ["sum"], domain="own"))
    model.graph.output[0].name = "sum"
    return model


def varint(value: int, size: int = 0) -> bytes:
    """A number in at least `size` bytes: more than it needs, as readers of varints accept."""
    found = bytearray()
    while value >= 0x80 or len(found) + 1 < size:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def rewritten(data: bytes, extra: Callable[[], int], kind="model", wrap=0) -> bytes:
    """The same message with numbers written in more bytes, as many more as `extra()` says.

    `wrap` is added to the places of weights, of which readers take the lowest 32 bits.
    """
    found = bytearray()
    for one in fields(memoryview(data)):
        tag = one.number << 3 | one.kind
        found += varint(tag, len(varint(tag)) + min(extra(), 3))
        content = bytes(one.content)
        if one.kind == VARINT:
            value = one.integer
            if (kind, one.number) == ("tensor", TENSOR_LOCATION):
                value += wrap
            found += varint(value, len(varint(value)) + extra())
        elif one.kind in (FIXED32, FIXED64):
            found += content
        elif one.kind == BYTES:
            inner = MESSAGES[kind].get(one.number)
            if inner:
                content = rewritten(content, extra, inner, wrap)
            found += varint(len(content), len(varint(len(content))) + min(extra(), 2)) + content
    return bytes(found)


def wrapped_location(model: onnx.ModelProto) -> bytes:
    """As `in_initializer`, with EXTERNAL written as a number that is 1 in its lowest 32 bits."""
    return rewritten(model.SerializeToString(), lambda: 0, wrap=2**32)


def polyglot() -> bytes:
    """Bytes that are a field of ONNX, and begin as ONNX Runtime's own format does."""
    content = b"\x12" + varint(4 + 200, 3) + b"ORTM" + bytes(200)
    return content + good().SerializeToString()


def broken(random: Random) -> bytes:
    """A network with a damaged place."""
    data = bytearray(good().SerializeToString())
    kind = random.randrange(4)
    at = random.randrange(len(data))
    if kind == 0:
        return bytes(data[:at])
    if kind == 1:
        data[at : at + 4] = b"\xff" * random.randrange(1, 12)
    elif kind == 2:
        data[at:at] = random.choice([b"\x0b", b"\x0c", b"\x00", b"\x07", b"\xff" * 11])
    else:
        data += varint(random.randrange(1, 200) << 3 | random.randrange(8)) + bytes(
            random.randrange(256) for _ in range(random.randrange(20))
        )
    return bytes(data)


def constructed(i: int) -> bytes:
    """Network number i: all kinds in turn, with random details."""
    random = Random(i)
    count = 10 ** random.randrange(5, 19)

    def extra() -> int:
        return random.randrange(4)

    def a_reference():
        return random.choice(REFERENCES)(random.choice(LOCATIONS))

    def a_large():
        operator = random.choice(["ConstantOfShape", "Expand", "Tile"])
        sides = random.choices([100_000, 2**31, 2**40, 30_000], k=random.randint(2, 3))
        return large(operator, sides)

    kinds: list[Callable[[], onnx.ModelProto | bytes]] = [
        a_reference,
        lambda: rewritten(a_reference().SerializeToString(), extra),
        lambda: wrapped_location(in_initializer()),
        lambda: loop(random.choice([None, count])),
        lambda: rewritten(loop(random.choice([None, count])).SerializeToString(), extra),
        lambda: nested_loops(random.choice([200, 10_000]), random.randint(1, 4)),
        lambda: computed_trips(random.choice([3, 10**9])),
        lambda: scan(random.choice([10, 10**6, 10**12])),
        a_large,
        lambda: large_product(random.choice([100, 12_000])),
        lambda: uncounted("NonZero", random.choice([100, 900_000_000])),
        lambda: uncounted("Unique", random.choice([100, 200_000_000])),
        lambda: uncounted("SplitToSequence", random.choice([100, 100_000_000])),
        lambda: uncounted("folded", random.choice([3, 1000])),
        lambda: slow_to_open(random.choice([1, 200])),
        lambda: sized(*random.choices([1, 8, 2**31, 10**9, 2**62], k=3)),
        lambda: sized(1, 8, 8, random.choice(["[" * 10**5, "{}", '{"height": ' + "9" * 5000])),
        lambda: claimed([random.choice([-1, 2**40, 2**62, 0]), 4]),
        lambda: named(ESCAPE * random.choice([1, 20_000]), random.random() < 0.7),
        lambda: unknown_operator(ESCAPE * random.choice([1, 20_000])),
        lambda: deep(random.choice([5, 14])),
        lambda: doubling_functions(random.choice([3, 12, 40])),
        polyglot,
        lambda: broken(random),
        lambda: broken(random),
        lambda: rewritten(good().SerializeToString(), extra),
        lambda: good().SerializeToString() * random.randint(2, 3),
    ]
    made = kinds[i % len(kinds)]()
    return made if isinstance(made, bytes) else made.SerializeToString()


def open_and_encode(path: Path, *, in_index: bool) -> str:
    """Return what becomes of a network: as a model file, or in an index."""
    from pyimagesearch.encoders.encoder import Encoder
    from pyimagesearch.encoders.export import open_encoder
    from pyimagesearch.pictures.input_spec import InputSpec

    images = np.random.default_rng(1).random((2, SIDE, SIDE, 3), np.float32)
    try:
        if in_index:
            spec = InputSpec(SIDE, SIDE, 3)
            encoder = Encoder(path.read_bytes(), spec, 4, "stranger", "0" * 64)
        else:
            encoder = open_encoder(path)
        encoder.encode(images)
        return "codes"
    except (ValueError, OSError, MemoryError) as error:
        text = str(error)
        if not text.isprintable() or len(text) > 1000:
            raise AssertionError(f"not one line: {text!r}") from error
        return text


def in_a_process(path: Path, *, in_index: bool) -> tuple[int, float, float]:
    """Run `open_and_encode` in a process; return its status, its peak in MB, and the seconds."""
    from pyimagesearch.encoders import interruptible

    started = time.monotonic()
    process = os.fork()
    if not process:
        # Where a network cannot be stopped, the process ends after one line, with status 1.
        interruptible._exit_at_once = lambda: os._exit(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(MAX_SECONDS)
        try:
            print(path, open_and_encode(path, in_index=in_index), flush=True)
        except BaseException as error:
            print(path, f"FAILED {type(error).__name__} {error}", flush=True)
            os._exit(1)
        os._exit(0)
    _, status, usage = os.wait4(process, 0)
    return status, usage.ru_maxrss / 1024, time.monotonic() - started


def main() -> int:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    Path("secret").write_bytes(bytes(4096))
    import onnxruntime  # noqa: F401  (once, for all processes)

    failures = 0
    most = longest = 0.0
    for i in range(int(sys.argv[2])):
        path = Path(f"n{i}.onnx")
        path.write_bytes(constructed(i))
        for in_index in (False, True):
            status, megabytes, seconds = in_a_process(path, in_index=in_index)
            most = max(most, megabytes)
            longest = max(longest, seconds)
            if status or megabytes > MAX_MEGABYTES:
                failures += 1
                print(path, f"FAILED status {status}, {megabytes:.0f} MB", flush=True)
        path.unlink()
    print(f"{failures} of {sys.argv[2]} failed; at most {most:.0f} MB and {longest:.0f} s each")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
