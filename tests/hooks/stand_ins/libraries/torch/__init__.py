"""As much of torch as the hooks use, in plain Python, so that their logic is tested where torch is not."""
import contextlib
import itertools
import types

__version__ = "stand-in"


class dtype:
    def __init__(self, name, size, floating):
        self.name, self.itemsize, self.is_floating_point = name, size, floating


float32 = dtype("F32", 4, True)
int32 = dtype("I32", 4, False)
int64 = dtype("I64", 8, False)
uint8 = dtype("U8", 1, False)
bool = dtype("BOOL", 1, False)  # noqa: A001, as torch names it


def _dense(shape):
    strides = []
    step = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= size
    return tuple(strides)


class Tensor:
    """A view of a flat list, strided as torch's."""

    def __init__(self, values, shape, dtype, strides=None, offset=0):
        self.values, self.shape, self.dtype, self.offset = values, tuple(shape), dtype, offset
        self.strides = _dense(self.shape) if strides is None else tuple(strides)

    def _flat(self):
        ranges = [range(size) for size in self.shape]
        return [self.values[self.offset + sum(i * s for i, s in zip(index, self.strides))] for index in itertools.product(*ranges)]

    def dim(self):
        return len(self.shape)

    def numel(self):
        count = 1
        for size in self.shape:
            count *= size
        return count

    def element_size(self):
        return self.dtype.itemsize

    def detach(self):
        return self

    cpu = detach

    def contiguous(self):
        return Tensor(self._flat(), self.shape, self.dtype)

    clone = contiguous

    def to(self, kind):
        return Tensor([int(x) if not kind.is_floating_point else float(x) for x in self._flat()], self.shape, kind)

    def float(self):
        return self.to(float32)

    def reshape(self, *shape):
        shape = list(shape[0] if isinstance(shape[0], (tuple, list)) else shape)
        if -1 in shape:
            known = 1
            for size in shape:
                known *= size if size != -1 else 1
            shape[shape.index(-1)] = self.numel() // known
        flat = self._flat()
        assert _product(shape) == len(flat), (shape, self.shape)
        return Tensor(flat, shape, self.dtype)

    def permute(self, *order):
        return Tensor(self.values, [self.shape[i] for i in order], self.dtype, [self.strides[i] for i in order], self.offset)

    def transpose(self, a, b):
        order = list(range(self.dim()))
        order[a], order[b] = order[b], order[a]
        return self.permute(*order)

    def __getitem__(self, index):
        if isinstance(index, Tensor):
            return cat([self[int(i)].reshape(1, *self.shape[1:]) for i in index.tolist()])
        index = list(index) if isinstance(index, tuple) else [index]
        if Ellipsis in index:
            at = index.index(Ellipsis)
            index[at : at + 1] = [slice(None)] * (self.dim() - len(index) + 1)
        index += [slice(None)] * (self.dim() - len(index))
        shape, strides, offset = [], [], self.offset
        for item, size, stride in zip(index, self.shape, self.strides):
            if isinstance(item, slice):
                begin, end, step = item.indices(size)
                shape.append(max(0, (end - begin + step - 1) // step))
                strides.append(stride * step)
                offset += begin * stride
            else:
                if not -size <= item < size:
                    raise IndexError(item)
                offset += (item + size if item < 0 else item) * stride
        return Tensor(self.values, shape, self.dtype, strides, offset)

    def __iter__(self):
        return (self[i] for i in range(self.shape[0]))

    def __gt__(self, number):
        return Tensor([x > number for x in self._flat()], self.shape, bool)

    def __int__(self):
        return int(self._flat()[0])

    def __float__(self):
        return float(self._flat()[0])

    def __len__(self):
        return self.shape[0]

    def tolist(self):
        if not self.shape:
            return self._flat()[0]
        return [self[i].tolist() for i in range(self.shape[0])]


def _product(shape):
    count = 1
    for size in shape:
        count *= size
    return count


def tensor(values, dtype=None):
    shape, flat = [], values
    probe = values
    while isinstance(probe, (list, tuple)):
        shape.append(len(probe))
        probe = probe[0] if probe else None
    for _ in shape[1:]:
        flat = [x for line in flat for x in line]
    flat = list(flat) if shape else [flat]
    kind = dtype or (float32 if any(isinstance(x, float) for x in flat) else int64)
    return Tensor(flat, shape, kind)


def cat(tensors, dim=0):
    tensors = list(tensors)
    dim = dim % tensors[0].dim()
    if dim:
        swapped = [t.transpose(0, dim) for t in tensors]
        return cat(swapped).transpose(0, dim)
    assert len({t.shape[1:] for t in tensors}) == 1, [t.shape for t in tensors]
    return Tensor([x for t in tensors for x in t._flat()], (sum(t.shape[0] for t in tensors), *tensors[0].shape[1:]), tensors[0].dtype)


def equal(a, b):
    return a.shape == b.shape and a._flat() == b._flat()


def matmul(a, b):
    """[..., n, k] x [..., k, m] of equal leading sizes."""

    def product(x, y):
        if not isinstance(x[0][0], list):
            return [[sum(p * q for p, q in zip(row, column)) for column in zip(*y)] for row in x]
        return [product(s, t) for s, t in zip(x, y)]

    return tensor(product(a.tolist(), b.tolist()))


@contextlib.contextmanager
def no_grad():
    yield


class Module:
    """As torch.nn.Module: calls go through hooks."""

    def __init__(self):
        self._before, self._after = {}, {}

    def __call__(self, *args, **kwargs):
        for hook in list(self._before.values()):
            hook(self, args)
        result = self.forward(*args, **kwargs)
        for hook in list(self._after.values()):
            hook(self, args, result)
        return result

    def _register(self, hooks, hook):
        key = object()
        hooks[key] = hook
        return types.SimpleNamespace(remove=lambda: hooks.pop(key))

    def register_forward_pre_hook(self, hook):
        return self._register(self._before, hook)

    def register_forward_hook(self, hook):
        return self._register(self._after, hook)

    def named_modules(self, prefix=""):
        yield prefix, self
        for name, value in vars(self).items():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, Module):
                    yield from item.named_modules(name)


nn = types.SimpleNamespace(Module=Module, functional=types.SimpleNamespace(scaled_dot_product_attention=None))
cuda = types.SimpleNamespace(is_available=lambda: False)
distributed = types.SimpleNamespace(is_available=lambda: True, is_initialized=lambda: True, get_rank=lambda: 3)
