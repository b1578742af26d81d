"""save_file of safetensors for the stand-in of torch."""
import json
import struct

_FORMAT = {"F32": "f", "I32": "i", "I64": "q", "U8": "B", "BOOL": "?"}


def save_file(tensors, path, metadata=None):
    header, data = {}, b""
    if metadata:
        assert all(isinstance(value, str) for value in metadata.values())
        header["__metadata__"] = metadata
    for name, tensor in tensors.items():
        flat = tensor._flat()
        packed = struct.pack("<%d%s" % (len(flat), _FORMAT[tensor.dtype.name]), *flat)
        header[name] = {"dtype": tensor.dtype.name, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
