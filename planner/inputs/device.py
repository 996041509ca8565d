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


class NoSuchFormat(SpecError):  # noqa: N818 - says what is the matter
    """A device that does not compute in a number format."""


class DeviceSpec(Spec):
    """Nameplate numbers, each with the document it came from."""

    name: Name
    aliases: tuple[str, ...] = ()  # other names people give it, in lower case with dashes
    vendor: str
    architecture: str
    form_factor: str
    hbm_bytes: BytesField
    hbm_offered: float = Field(0.99, gt=0.5, le=1, description="Share that a program finds.")
    hbm_bytes_per_s: BytesPerSField
    l2_bytes: BytesField
    n_sms: int = Field(gt=0)
    boost_clock_hz: HertzField
    link_bytes_per_s: BytesPerSField
    link_kind: str
    tdp_w: WattsField
    source: str
    checked: date
    notes: str = ""
    dense_flops_per_s: dict[str, FlopsPerSField]

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


def check_hardware(path: Path) -> DeviceSpec | NodeSpec | EngineFile:
    """Read a file as `load_hardware` would, and ask whether its numbers are plausible.

    Raises:
        SpecError: malformed, or outside physics: the arithmetic a byte, the source.

    """
    if path.parent.name == "engines" or "versions" in _keys(path):
        return load_toml(EngineFile, path, hint=README)
    is_node = path.parent.name == "nodes" or "n_devices" in _keys(path)
    spec: DeviceSpec | NodeSpec = (
        load_toml(NodeSpec, path, hint=README)
        if is_node
        else load_toml(DeviceSpec, path, hint=README)
    )
    if not spec.source.startswith("https://"):
        raise SpecError(f"{path}: source: {spec.source!r} is no address", hint="cite the datasheet")
    if isinstance(spec, DeviceSpec):
        half = spec.dense_flops_per_s.get("bf16", spec.dense_flops_per_s.get("fp16"))
        if half is None:
            raise SpecError(f"{path}: dense_flops_per_s: no bf16 and no fp16", hint=README)
        _require_dense(spec, half, path)
        ridge = half / spec.hbm_bytes_per_s
        if not RIDGE[0] < ridge < RIDGE[1]:
            raise SpecError(
                f"{path}: {ridge:.3g} FLOP a byte of bandwidth is outside {RIDGE[0]} to {RIDGE[1]}",
                hint="check the units, and that the rate is the dense one",
            )
    return spec


def _require_dense(spec: DeviceSpec, half: float, path: Path) -> None:
    """Refuse a 16-bit rate above what the cores can do in a clock, or not half of the fp8 rate."""
    unit = spec.n_sms * spec.boost_clock_hz
    most = MOST_FLOPS.get(spec.architecture, 0)
    vector = spec.dense_flops_per_s.get("fp32", 0.0) / unit
    if (
        spec.architecture == "ampere" and vector > 200
    ):  # GA10x: twice the vector rate, half the other
        most //= 2
    hint = "halve it where the datasheet prints it with sparsity"
    if most and half > ABOVE * most * unit:
        raise SpecError(
            f"{path}: {half / unit:.0f} FLOP a clock of an SM are more than {most}, which "
            f"{spec.architecture} does: bf16 looks like the sparse rate",
            hint=hint,
        )
    fp8 = spec.dense_flops_per_s.get("fp8")
    if fp8 is not None and not 2 / ABOVE < fp8 / half < 2 * ABOVE:
        raise SpecError(
            f"{path}: fp8 over bf16 is {fp8 / half:.3g}, not 2: one of them looks like the sparse rate",
            hint=hint,
        )


def _keys(path: Path) -> dict[str, object]:
    try:
        return read_toml(path)
    except SpecError:
        return {}  # load_toml says what is wrong
