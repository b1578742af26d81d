"""Writes the small captures of this directory: one attention call in every format that is read.

Shapes: 4 query and 6 key rows, 2 heads, rank 8, nope 4, rope 2, v 3. Element i of tensor number n (in
the order of SHAPES) is ((i * 7 + n * 5) % 31 - 15) / 8, which every dtype down to float8_e4m3fn holds
exactly. numpy writes .npy and .npz; .pt follows torch.save (torch/serialization.py,
torch/_utils.py), with stand-ins for the classes that its pickle names.
"""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile

import numpy as np

SHAPES = {
    "q": (4, 2, 6), "k": (6, 2, 6), "v": (6, 2, 3), "kv_c": (6, 8), "k_pe": (6, 2),
    "kv_b_proj": (14, 8), "out": (4, 2, 3), "lse": (2, 4),
}


def values(name):
    n = list(SHAPES).index(name)
    i = np.arange(np.prod(SHAPES[name]))
    return (((i * 7 + n * 5) % 31 - 15) / 8).reshape(SHAPES[name])


# --- numpy ---------------------------------------------------------------------------------------
f32 = {name: values(name).astype(np.float32) for name in SHAPES}
np.savez("stored.npz", **f32)
np.savez_compressed("deflated.npz", lse_base="2", softmax_scale=np.float64(0.125),
                    **{name: values(name).astype(np.float16) for name in SHAPES})
np.save("q.npy", values("q").astype(">f8"))
np.save("out.npy", np.asfortranarray(values("out").astype("<f4")))
for version in (2, 3):
    with open(f"lse.v{version}.npy", "wb") as file:
        np.lib.format.write_array(file, values("lse").astype("<f4"), version=(version, 0))


# --- torch ---------------------------------------------------------------------------------------
torch = types.ModuleType("torch")
torch_utils = types.ModuleType("torch._utils")
torch_storage = types.ModuleType("torch.storage")
sys.modules.update({"torch": torch, "torch._utils": torch_utils, "torch.storage": torch_storage})


def stand_in(module, name, kind=types.FunctionType):
    if kind is type:
        made = type(name, (), {"__module__": module.__name__})
    else:
        def made(*args):
            raise RuntimeError
        made.__module__, made.__qualname__, made.__name__ = module.__name__, name, name
    setattr(module, name, made)
    return made


rebuild_v2 = stand_in(torch_utils, "_rebuild_tensor_v2")
rebuild_v3 = stand_in(torch_utils, "_rebuild_tensor_v3")
rebuild_parameter = stand_in(torch_utils, "_rebuild_parameter")
STORAGES = {name: stand_in(torch, name, type) for name in
            ("FloatStorage", "BFloat16Storage", "HalfStorage", "LongStorage")}
STORAGES["UntypedStorage"] = stand_in(torch_storage, "UntypedStorage", type)


class Dtype:  # torch.dtype pickles as the global torch.<name>
    def __init__(self, name):
        self.name, self.__module__ = name, "torch"

    def __reduce__(self):
        return self.name


setattr(torch, "float8_e4m3fn", Dtype("float8_e4m3fn"))


class Storage:
    def __init__(self, kind, data, count):
        self.kind, self.data, self.count = kind, data, count


class Tensor:
    def __init__(self, storage, offset, size, stride, dtype=None, parameter=False):
        self.args = (storage, offset, size, stride, False, collections.OrderedDict())
        self.dtype, self.parameter = dtype, parameter

    def __reduce__(self):
        if self.parameter:
            inner = Tensor(*self.args[:4], self.dtype)
            return rebuild_parameter, (inner, True, collections.OrderedDict())
        if self.dtype is not None:
            return rebuild_v3, (*self.args, self.dtype)
        return rebuild_v2, self.args


def contiguous(shape):
    strides, step = [], 1
    for extent in reversed(shape):
        strides.insert(0, step)
        step *= extent
    return tuple(strides)


def bf16(array):
    return (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()


def e4m3fn(array):
    table = {}
    for bits in range(256):
        e, m = bits >> 3 & 15, bits & 7
        if (e, m) != (15, 7):
            value = (m / 8 * 2.0**-6 if e == 0 else (1 + m / 8) * 2.0 ** (e - 7))
            table.setdefault(-value if bits & 128 else value, bits)
    return bytes(table[float(x)] for x in array.ravel())


def save(path, obj):
    storages = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if not isinstance(item, Storage):
                return None
            if item not in storages:
                storages.append(item)
            return ("storage", STORAGES[item.kind], str(storages.index(item)), "cuda:0", item.count)

    code = io.BytesIO()
    Pickler(code, protocol=2).dump(obj)
    stem = path.rsplit(".", 1)[0]
    entries = [("data.pkl", code.getvalue()), ("byteorder", b"little")]
    entries += [(f"data/{i}", s.data) for i, s in enumerate(storages)] + [("version", b"3\n")]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            info = zipfile.ZipInfo(f"{stem}/{name}", (1980, 1, 1, 0, 0, 0))
            start = archive.fp.tell() + 30 + len(info.filename)
            pad = -(start + 4) % 64  # torch aligns the data of each entry to 64 bytes
            info.extra = struct.pack("<2sH", b"FB", pad) + b"Z" * pad
            archive.writestr(info, data)


def typed(kind, data, shape, size):
    return Tensor(Storage(kind, data, len(data) // size), 0, shape, contiguous(shape))


everything = {name: typed("BFloat16Storage", bf16(values(name)), SHAPES[name], 2)
              for name in SHAPES if name not in ("q", "k", "v", "lse", "kv_b_proj")}
# q transposed from [H, T, D]; k and v are views of one storage [T, H, 6 + 3].
everything["q"] = Tensor(Storage("HalfStorage", values("q").transpose(1, 0, 2).astype("<f2").tobytes(), 48),
                         0, (4, 2, 6), (6, 24, 1))
both = Storage("FloatStorage",
               np.concatenate([values("k"), values("v")], axis=2).astype("<f4").tobytes(), 108)
everything["k"] = Tensor(both, 0, (6, 2, 6), (18, 9, 1))
everything["v"] = Tensor(both, 6, (6, 2, 3), (18, 9, 1))
weight = typed("FloatStorage", values("kv_b_proj").astype("<f4").tobytes(), (14, 8), 4)
weight.parameter = True
everything["kv_b_proj"] = weight
inputs = {name: everything[name] for name in everything if name != "out"}
save("nested.pt", {"inputs": collections.OrderedDict(inputs),
                   "outputs": {"out": everything["out"],
                               "lse": typed("FloatStorage", values("lse").astype("<f4").tobytes(), (2, 4), 4)},
                   "softmax_scale": 0.125, "step": 7, "kernel": "flash", "nothing": None})
save("out.pt", everything["out"])
fp8 = Storage("UntypedStorage", e4m3fn(values("q")), 48)
save("fp8.pth", {"q": Tensor(fp8, 0, (4, 2, 6), (12, 6, 1), torch.float8_e4m3fn),
                 "q_scale": typed("FloatStorage", struct.pack("<f", 0.5), (1,), 4)})
