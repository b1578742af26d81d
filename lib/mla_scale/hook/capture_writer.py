# ---- what to keep, and writing it: the same in every hook of mla-scale ----


class Settings(NamedTuple):
    """What to capture. Each field can come from install() or from its environment variable."""

    layers: str = "0"  # MLA_CAPTURE_LAYERS: "0,3,10-12" or "all"
    folder: str = "mla-captures"  # MLA_CAPTURE_DIR: created when the first capture is written
    tokens: int = 1024  # MLA_CAPTURE_TOKENS: at most so many rows of keys in one capture
    heads: int = 16  # MLA_CAPTURE_HEADS: at most so many heads, from the first of this rank
    requests: int = 4  # MLA_CAPTURE_REQUESTS: at most so many requests of a batch
    phases: str = "prefill,decode"  # MLA_CAPTURE_PHASES: "prefill", "decode" or both

    @classmethod
    def read(cls, **given: Any) -> "Settings":
        """What is given, else the environment, else the defaults above."""
        values = {}
        for name, default in cls._field_defaults.items():
            variable = "MLA_CAPTURE_DIR" if name == "folder" else "MLA_CAPTURE_" + name.upper()
            text = given.get(name)
            text = os.environ.get(variable) if text is None else text
            values[name] = default if text is None else type(default)(text)
        settings = cls(**values)
        settings.has_layer(-1)  # a list that is none is an error here, not later in the model
        return settings

    def has_layer(self, layer: int) -> bool:
        found = False
        for part in self.layers.split(","):
            first, _, last = part.strip().partition("-")
            if first == "all":
                found = True
            elif first:
                begin, end = int(first), int(last or first)
                found = found or begin <= layer <= end
        return found


class NotCaptured(Exception):
    """Why there is no capture. `again`: another call of the same layer may do."""

    def __init__(self, reason: str, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


# The tensors of a capture, and the facts that go into its metadata.
Content = Tuple[Dict[str, Any], Dict[str, Any]]


class Part(NamedTuple):
    """One request of a capture: its first query rows, and the key rows that those see."""

    request: int
    queries: int
    keys: int


def offsets_of(rows: Sequence[int]) -> Any:
    """[0, ...]: where the rows of each request begin, and the end. int32 [B + 1]."""
    values = [0]
    for count in rows:
        values.append(values[-1] + count)
    return torch.tensor(values, dtype=torch.int32)


class Writer:
    """Writes one file for each chosen layer and phase, once. Never raises into the model."""

    def __init__(self, engine: str, settings: Settings) -> None:
        self.engine = engine
        self.settings = settings
        self._done: Set[Tuple[int, str]] = set()
        self._said: Set[str] = set()

    def wants(self, layer: int, phase: str) -> bool:
        """True while that layer and phase is chosen and neither written nor given up."""
        return (
            phase in self.settings.phases
            and (layer, phase) not in self._done
            and self.settings.has_layer(layer)
            and not (torch.cuda.is_available() and torch.cuda.is_current_stream_capturing())
        )

    def heads(self, count: int) -> int:
        """The largest divisor of the heads of this rank that is not above what is wanted."""
        wanted = min(count, max(1, self.settings.heads))
        return next(n for n in range(wanted, 0, -1) if count % n == 0)

    def parts(self, queries: Sequence[int], keys: Sequence[int]) -> List[Part]:
        """The first requests that fit; of a long first one its first query rows, which is exact
        under a causal mask. queries, keys: rows of each request; a query row sees the keys up to
        keys - queries + its index."""
        chosen: List[Part] = []
        room = self.settings.tokens
        for request, (rows, seen) in enumerate(zip(queries, keys)):
            if rows > 0 and not chosen and seen > room > seen - rows:
                rows, seen = rows - (seen - room), room
            if rows > 0 and seen <= room:
                chosen.append(Part(request, rows, seen))
                room -= seen
            if len(chosen) == self.settings.requests:
                break
        if not chosen:
            limit = f"more than MLA_CAPTURE_TOKENS={self.settings.tokens}"
            raise NotCaptured(f"its requests have {list(keys)[:4]} keys, {limit}", again=True)
        return chosen

    def attempt(self, layer: int, phase: str, make: Callable[[], Content]) -> None:
        """Writes what make() returns; one line on stderr says what became of it."""
        try:
            with torch.no_grad():
                path = self._write(layer, phase, make())
            self._done.add((layer, phase))
            self._say(f"layer {layer} {phase}: wrote {path}")
        except Exception as error:  # a capture that fails must not cost the user the run
            if not (isinstance(error, NotCaptured) and error.again):
                self._done.add((layer, phase))
            kind = "" if isinstance(error, NotCaptured) else type(error).__name__ + ": "
            reason = (str(error).splitlines() or [""])[0]
            self._say(f"layer {layer} {phase}: not captured: {kind}{reason}")

    def _say(self, line: str) -> None:
        if line not in self._said and len(self._said) < 1000:
            self._said.add(line)
            print("mla-scale hook: " + line, file=sys.stderr)

    def _write(self, layer: int, phase: str, content: Content) -> str:
        tensors, facts = content
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if distributed else 0
        metadata = {name: str(value) for name, value in facts.items() if value is not None}
        metadata.update(
            captured_by="mla-scale hook " + self.engine,
            layer=str(layer),
            phase=phase,
            rank=str(rank),
            torch=str(torch.__version__),
        )
        os.makedirs(self.settings.folder, exist_ok=True)
        path = os.path.join(self.settings.folder, f"layer{layer}.{phase}.rank{rank}.safetensors")
        temporary = f"{path}.{os.getpid()}.tmp"
        try:
            # A copy of each: safetensors refuses two tensors of one memory.
            copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
            save_file(copies, temporary, metadata=metadata)
            os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.remove(temporary)
        return path


# ---- the engine ----
