"""What a measurement ran on: enough to tell two machines apart, and to see a clock that drifted."""

import os
import platform
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

Setting = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Machine:
    """A device, by a short id that like machines share, and what else is worth recording."""

    id: str  # "nvidia-h200", "cpu-amd-epyc-2c"
    kind: str  # "cuda" or "cpu"
    name: str
    memory_bytes: float
    environment: dict[str, Setting] = field(default_factory=dict)


def slug(text: str) -> str:
    """Lower-case words joined by dashes."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))


def machine(device: str | None = None) -> Machine:
    """Describe `device`, "cpu" or "cuda"; None takes a GPU where torch sees one."""
    try:
        import torch
    except ImportError:
        return cpu()
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return _gpu(torch.cuda.current_device()) if device.startswith("cuda") else cpu()


def torch_name() -> str:
    """Return what rows call torch as an engine."""
    import torch

    return f"torch {torch.__version__}"


def cpu() -> Machine:
    """Describe the processor; needs no torch."""
    name = _cpuinfo("model name") or platform.processor() or platform.machine()
    threads = usable_cpus()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    flags = _cpuinfo("(?:flags|Features)").split()
    facts: dict[str, Setting] = {
        "cpu": name,
        "cpus": threads,
        "system": platform.platform(terse=True),
        "isa": " ".join(f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in flags),
    }
    return Machine(f"cpu-{slug(name)}-{threads}c", "cpu", f"{name}, {threads} cores", memory, facts)


def usable_cpus() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def last_cores(n: int) -> list[int]:
    """Return `n` cores this process may run on, the last ones: the system's own work is on the first."""
    able = (
        sorted(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else list(range(usable_cpus()))
    )
    return able[-n:]


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cache_bytes() -> int:
    """Size of the largest CPU cache, 32 MiB where the system does not tell."""
    sizes = [
        int(text[:-1]) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[text[-1]]
        for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
        if (text := path.read_text().strip())[-1:] in "KMG"
    ]
    return max(sizes, default=32 << 20)


def clock_hz() -> float | None:
    """Clock of the GPU's multiprocessors, else of the first core, now; None where nobody tells."""
    if shutil.which("nvidia-smi") and (text := _nvidia_smi("clocks.sm")):
        return float(text.split()[0]) * 1e6
    megahertz = _cpuinfo("cpu MHz")
    return float(megahertz) * 1e6 if megahertz else None


def _gpu(index: int) -> Machine:
    import torch

    p = torch.cuda.get_device_properties(index)
    facts: dict[str, Setting] = {
        "gpu": p.name,
        "sms": p.multi_processor_count,
        "compute_capability": f"{p.major}.{p.minor}",
        "l2_bytes": getattr(p, "L2_cache_size", 0),
        "cuda": torch.version.cuda,
        "driver": _nvidia_smi("driver_version"),
        "clocks_max_sm": _nvidia_smi("clocks.max.sm"),
        "power_limit": _nvidia_smi("power.limit"),
        "cpus": usable_cpus(),
    }
    return Machine(slug(p.name), "cuda", p.name, float(p.total_memory), facts)


def _visible() -> str:
    """Return what nvidia-smi calls the first GPU that this process may use."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"


def _nvidia_smi(field: str) -> str:
    try:
        return subprocess.run(
            ["nvidia-smi", "-i", _visible(), f"--query-gpu={field}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _cpuinfo(key: str) -> str:
    """Return what the system says first of its processors under `key`, a pattern; "" if nothing."""
    file = Path("/proc/cpuinfo")
    text = file.read_text() if file.is_file() else ""
    match = re.search(rf"^{key}[ \t]*:(.*)$", text, re.MULTILINE)
    return match[1].strip() if match else ""
