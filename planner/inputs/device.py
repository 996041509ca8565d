"""A device and a node as their datasheets state them."""

import functools
import re
from datetime import date
from pathlib import Path

from pydantic import Field

from planner.columns import Device
from planner.data import catalogue, find, is_file
from planner.errors import SpecError, UnknownName, WrongType
from planner.inputs.engine import EngineFile, engines
from planner.inputs.fields import (
    BytesField,
    BytesPerSField,
    FlopsPerSField,
    HertzField,
    Name,
    Spec,
    WattsField,
    faults,
    load_toml,
)
from planner.inputs.files import read_toml
from planner.inputs.formats import FORMATS, SERVED, Format
from planner.inputs.names import slug, words

README = "see hardware/README.md for the keys and units"
Words = frozenset[str]
# Dense 16-bit FLOP that an SM or CU does in a clock, at most; hardware/README.md.
MOST_FLOPS = {"volta": 1024, "turing": 1024, "ampere": 2048, "ada": 1024, "hopper": 4096}
MOST_FLOPS |= {"blackwell": 8192, "cdna2": 1024, "cdna3": 2048, "cdna4": 4096}
ABOVE = 1.1  # clocks that rates and boost are stated at differ by less
RIDGE = (5, 1000)  # FLOP a byte: a CPU core's 5-30, H20's 37, the densest accelerators' 400


PCIE4_BYTES_PER_S = 32e9  # sixteen lanes, one direction: what a card has at least
# Keys that a file may leave out, and what is taken then.
DEFAULTS = {
    "form_factor": "a card",
    "l2_bytes": "nothing: no answer needs it",
    "boost_clock_hz": "nothing: rates are not held to the clock",
    "link_bytes_per_s": "32 GB/s, PCIe 4.0 ×16",
    "link_kind": "pcie",
    "tdp_w": "nothing: no joules are told",
}


class NoSuchFormat(SpecError):  # noqa: N818 - says what is the matter
    """A device that does not compute in a number format."""


class DeviceSpec(Spec):
    """Nameplate numbers, each with the document it came from."""

    name: Name
    aliases: tuple[str, ...] = ()  # other names people give it, in lower case with dashes
    vendor: str
    architecture: str
    form_factor: str = "card"
    hbm_bytes: BytesField
    hbm_offered: float = Field(0.99, gt=0.5, le=1, description="Share that a program finds.")
    hbm_bytes_per_s: BytesPerSField
    l2_bytes: BytesField | None = None
    n_sms: int = Field(gt=0)
    boost_clock_hz: HertzField | None = None
    link_bytes_per_s: BytesPerSField = PCIE4_BYTES_PER_S
    link_kind: str = "pcie"
    tdp_w: WattsField | None = None
    source: str
    checked: date
    notes: str = ""
    dense_flops_per_s: dict[str, FlopsPerSField]

    @property
    def unstated(self) -> dict[str, str]:
        """What its file leaves out, and what is taken instead, in words."""
        return {k: words for k, words in DEFAULTS.items() if k not in self.model_fields_set}

    def flops_per_s(self, dtype: str) -> float:
        """Return the dense rate at `dtype`; an absent dtype is unsupported, never extrapolated.

        Raises:
            NoSuchFormat: the device does not compute in `dtype`.

        """
        rates = self.dense_flops_per_s
        rate = FORMATS[dtype].computes_in if dtype in FORMATS else dtype
        if rate not in rates:
            able = ", ".join(name for name in SERVED if FORMATS[name].computes_in in rates)
            raise NoSuchFormat(f"{self.name} has no {dtype} rate", hint=f"it computes in {able}")
        return rates[rate]

    def runs(self, dtype: str) -> Format:
        """Return the format that weights in `dtype` are in here: fp4 is a vendor's own.

        Where the device lacks its rate, engines that can unpack such weights before each product.
        """
        meant = FORMATS[FORMATS[dtype].of.get(self.vendor, dtype)]
        able = meant.computes_in in self.dense_flops_per_s or not meant.elsewhere
        return meant if able else FORMATS[meant.elsewhere]

    def columns(self, dtype: str = "bf16", node: "NodeSpec | None" = None) -> Device:
        """Return the columns equations look at, for weights in `dtype`."""
        half = "bf16" if "bf16" in self.dense_flops_per_s else "fp16"
        if FORMATS[dtype].bytes > 2.0:  # attention computes in what the cache holds
            half = dtype
        return Device(
            flops_per_s=self.flops_per_s(dtype),
            attention_flops_per_s=self.flops_per_s(half),
            hbm_bytes_per_s=self.hbm_bytes_per_s,
            hbm_bytes=self.hbm_bytes,
            n_sms=float(self.n_sms),
            offered=self.hbm_offered,
            link_bytes_per_s=node.link_bytes_per_s if node else self.link_bytes_per_s,
            node_link_bytes_per_s=node.per_device_bytes_per_s if node else 25e9,
        )


class NodeSpec(Spec):
    """A box of devices and its network."""

    name: Name
    device: str
    n_devices: int = Field(gt=0)
    link_bytes_per_s: BytesPerSField
    link_kind: str
    node_link_bytes_per_s: BytesPerSField
    node_link_kind: str
    tdp_w: WattsField
    source: str
    checked: date
    notes: str = ""

    @property
    def per_device_bytes_per_s(self) -> float:
        """A device's share of the node's network."""
        return self.node_link_bytes_per_s / self.n_devices


def device_names() -> list[str]:
    """Return the ids of every device on the search path."""
    return [
        n for n, p in catalogue("hardware").items() if p.parent.name not in ("nodes", "engines")
    ]


def node_names() -> list[str]:
    """Return the ids of every node on the search path."""
    return [n for n, path in catalogue("hardware").items() if path.parent.name == "nodes"]


def device_named(text: str) -> str:
    """Return the id of a device as people write it: "NVIDIA H100 80GB HBM3" is h100-sxm.

    Its id or one of its aliases must be there; beside it may stand what its full name says.

    Raises:
        UnknownName: none fits; the nearest is suggested.

    """
    known = catalogue("hardware")
    devices = {n: known[n] for n in device_names()}
    if text.lower() in devices:
        return text.lower()
    typed = words(text)
    fits = [
        (len(key), name)
        for name, called, keys in _called(tuple(devices.items()))
        for key in keys
        if key <= typed <= key | called
    ]
    if not fits:
        known_as = [*devices, *(a for n in devices for a in _aliases(known[n]))]
        raise _unknown(text, known_as)
    return max(fits, key=lambda fit: fit[0])[1]


def device_id(text: str) -> str:
    """Return the id of a device by any name, or by the path of a file of it.

    A file that calls its device by the full name of one we know is a file of that one: whether it is
    asked for by id or by path, it has the same profile and price. Another file is its own id.

    Raises:
        UnknownName: no such device.

    """
    if not text.endswith(".toml"):
        return device_named(text)
    known = catalogue("hardware")
    called = str(_keys(Path(text)).get("name", ""))
    names = _full_names(tuple((n, known[n]) for n in device_names()))
    return names.get(called, text)


@functools.lru_cache(maxsize=64)
def _full_names(devices: tuple[tuple[str, Path], ...]) -> dict[str, str]:
    return {str(_keys(path).get("name", "")): name for name, path in devices}


def _unknown(text: str, known_as: list[str]) -> UnknownName:
    """Say that no device is called so; a name with another number is another card, and said to be."""
    new = "describe yours: `planner hardware new --from-smi`"
    error = UnknownName.among(
        "hardware", text, known_as, see=f"see `planner hardware list`, or {new}"
    )
    near = re.search(r"did you mean '(.+)'", error.hint)
    if near and not set(re.findall(r"\d+", near[1])) <= set(re.findall(r"\d+", text)):
        error.hint = f"the nearest name is {near[1]!r}, another card; {new}"
    return error


@functools.lru_cache(maxsize=64)
def _called(devices: tuple[tuple[str, Path], ...]) -> list[tuple[str, Words, list[Words]]]:
    """Return each device with the words of its full name, and those of its id and aliases."""
    found = []
    for name, path in devices:
        own = _keys(path)
        full = words(" ".join(str(own.get(k, "")) for k in ("name", "vendor", "form_factor")))
        found.append((name, full, [words(key) for key in (name, *_aliases(path))]))
    return found


def _aliases(path: Path) -> list[str]:
    aliases = _keys(path).get("aliases")
    return list(map(str, aliases)) if isinstance(aliases, list) else []


def said_device(text: str) -> str:
    """Say as which device `text` was read, where that is not plain: "H100 read as h100-sxm"."""
    if Path(text).suffix == ".toml" or words(text) == words(name := device_named(text)):
        return ""
    return f"{text} read as {name}"


def load_device(name: str) -> DeviceSpec:
    """Load `name`, an id, another name or a path, from the first folder that has it.

    Raises:
        UnknownName: no such device; the nearest is suggested.
        SpecError: the file is malformed.

    """
    if not isinstance(name, str):
        raise WrongType.of("device", name, "a name or a path as text", hint='write e.g. "h100-sxm"')
    path = _device_path(name)
    if path.parent.name == "nodes":
        node = load_toml(NodeSpec, path, hint=README)
        raise SpecError(
            f"{name} is a node of {node.n_devices} × {node.device}, not a device",
            hint=f"write --on {node.device} --tp {node.n_devices}",
        )
    if path.parent.name == "engines":
        raise SpecError(f"{name} is an engine, not a device", hint=f"write --engine {name}")
    return load_toml(DeviceSpec, path, hint=README)


def _device_path(name: str) -> Path:
    known = catalogue("hardware")
    if name.endswith(".toml") and is_file(name):
        return Path(name)
    return known[next((n for n in (name, slug(name)) if n in known), "") or device_named(name)]


def load_node(name: str) -> NodeSpec:
    """Load a node by id or path; raises as `load_device` does."""
    path = find("hardware", "node", name, see="see `planner hardware list`")
    return load_toml(NodeSpec, path, hint=README)


def load_hardware(name: str) -> DeviceSpec | NodeSpec | EngineFile:
    """Load a device, a node or an engine; raises as `load_device` does."""
    if name in engines():
        return engines()[name]
    return load_node(name) if name in node_names() else load_device(name)


def file_of(name: str) -> Path:
    """Return the file that `load_hardware` reads; raises as it does."""
    known = catalogue("hardware")
    return known[name] if name in known else _device_path(name)


def check_hardware(path: Path) -> DeviceSpec | NodeSpec | EngineFile:
    """Read a file as `load_hardware` would, and ask whether its numbers are plausible.

    Raises:
        SpecError: malformed, or outside physics: the arithmetic a byte, the source. Says everything
            that is wrong.

    """
    keys = _keys(path)
    kind: type[DeviceSpec | NodeSpec | EngineFile] = DeviceSpec
    if path.parent.name == "engines" or "versions" in keys:
        kind = EngineFile
    elif path.parent.name == "nodes" or "n_devices" in keys:
        kind = NodeSpec
    wrong = faults(kind, read_toml(path))
    hint = README
    if not wrong:
        spec = load_toml(kind, path, hint=README)
        found = _implausible(spec)
        if not found:
            return spec
        wrong, hint = list(found), "; ".join(dict.fromkeys(found.values()))
    source = keys.get("source")
    if kind is not EngineFile and isinstance(source, str) and not source.startswith("https://"):
        wrong.append(f"source: {source!r} is no address")
    wrong = list(dict.fromkeys(wrong))
    count = f"{len(wrong)} faults: " if len(wrong) > 1 else ""
    raise SpecError(f"{path}: {count}{'; '.join(wrong)}", hint=hint)


def _implausible(spec: DeviceSpec | NodeSpec | EngineFile) -> dict[str, str]:
    """Return what is outside physics of a file that can be read, and what may be the matter."""
    if isinstance(spec, EngineFile):
        return {}
    found = {}
    if not spec.source.startswith("https://"):
        found[f"source: {spec.source!r} is no address"] = "cite the datasheet"
    if isinstance(spec, DeviceSpec):
        half = spec.dense_flops_per_s.get("bf16", spec.dense_flops_per_s.get("fp16"))
        if half is None:
            return found | {"dense_flops_per_s: no bf16 and no fp16": README}
        ridge = half / spec.hbm_bytes_per_s
        if not RIDGE[0] < ridge < RIDGE[1]:
            words = f"{ridge:.3g} FLOP a byte of bandwidth is outside {RIDGE[0]} to {RIDGE[1]}"
            found[words] = "check the units, and that the rate is the dense one"
        found |= _sparse(spec, half)
    return found


def _sparse(spec: DeviceSpec, half: float) -> dict[str, str]:
    """Return whether a 16-bit rate is above what the cores do in a clock, or not half of the fp8 rate."""
    found = {}
    hint = "halve it where the datasheet prints it with sparsity"
    fp8 = spec.dense_flops_per_s.get("fp8")
    if fp8 is not None and not 2 / ABOVE < fp8 / half < 2 * ABOVE:
        words = f"fp8 over bf16 is {fp8 / half:.3g}, not 2: one of them looks like the sparse rate"
        found[words] = hint
    if spec.boost_clock_hz is None:
        return found
    unit = spec.n_sms * spec.boost_clock_hz
    most = MOST_FLOPS.get(spec.architecture, 0)
    vector = spec.dense_flops_per_s.get("fp32", 0.0) / unit
    if (
        spec.architecture == "ampere" and vector > 200
    ):  # GA10x: twice the vector rate, half the other
        most //= 2
    if most and half > ABOVE * most * unit:
        words = (
            f"{half / unit:.0f} FLOP a clock of an SM are more than {most}, which "
            f"{spec.architecture} does: bf16 looks like the sparse rate"
        )
        found[words] = hint
    return found


def _keys(path: Path) -> dict[str, object]:
    try:
        return read_toml(path)
    except SpecError:
        return {}  # load_toml says what is wrong
