"""Tokens to train on: real text, tokenised once, memory-mapped.

The default needs no download: the sources of the Python standard library, found on any machine. Each
corpus is a folder with `train.bin`, `heldout.bin` (little-endian uint16 or uint32) and `corpus.json`.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from planner.errors import MissingExtra, OutputError, SpecError
from planner.writer import write_whole

# Muennighoff et al., arXiv 2305.16264: up to four epochs are nearly as good as new text, and by forty
# nothing more is learnt.
FEW_EPOCHS, MOST_EPOCHS = 4, 40
HELD_OUT = 16  # one file in so many is never trained on
TEXT = {".py", ".txt", ".md", ".rst", ".text", ".c", ".h", ".html", ".json", ".jsonl"}
END = "<|end|>"


@dataclass(frozen=True)
class Corpus:
    """Token streams and what they stand for."""

    name: str
    vocab_size: int
    train: NDArray[np.integer]
    heldout: NDArray[np.integer]
    heldout_bytes_per_token: float  # nan where the text is not known

    def batch(self, step: int, seed: int, batch: int, length: int) -> NDArray[np.int64]:
        """Return (batch, length + 1) tokens. The step alone decides which, so a resumed run sees the same."""
        windows = (len(self.train) - 1) // length
        picks = np.arange(step * batch, (step + 1) * batch)
        order = {e: _order(windows, seed, int(e)) for e in set(picks // windows)}
        starts = [order[p // windows][p % windows] * length for p in picks]
        return np.stack([self.train[s : s + length + 1] for s in starts]).astype(np.int64)

    def heldout_batches(self, batch: int, length: int, most: int) -> Iterator[NDArray[np.int64]]:
        """Yield (batch, length + 1) windows of held-out text, the same for every model."""
        windows = min((len(self.heldout) - 1) // length, most)
        for first in range(0, windows - windows % batch, batch):
            starts = range(first * length, (first + batch) * length, length)
            yield np.stack([self.heldout[s : s + length + 1] for s in starts]).astype(np.int64)


def require_enough(
    text: Corpus, n_tokens: int, warn: Callable[[str], None], *, allowed: bool = False
) -> None:
    """Hold a corpus against the tokens a run is to see: what is seen again and again teaches less each time.

    Args:
        text: to train on.
        n_tokens: of a run.
        warn: told where a run goes over the text more than a few times.
        allowed: whether it may, however often.

    Raises:
        SpecError: it goes over it more often than anything can be learnt from.

    """
    epochs = n_tokens / len(text.train)
    words = f"{n_tokens:,} tokens are {epochs:.1f} times the {len(text.train):,} of {text.name}"
    if epochs > MOST_EPOCHS and not allowed:
        raise SpecError(words, hint="give more text with --data, or say --repeat-data")
    if epochs > FEW_EPOCHS:
        warn(f"{words}: what is seen more than {FEW_EPOCHS} times teaches less")


_orders: dict[tuple[int, int, int], NDArray[np.int64]] = {}


def _order(windows: int, seed: int, epoch: int) -> NDArray[np.int64]:
    key = windows, seed, epoch
    if key not in _orders:
        _orders.clear()
        _orders[key] = np.random.default_rng([seed, epoch]).permutation(windows)
    return _orders[key]


def standard_library() -> list[Path]:
    """Return the standard library's own .py files, in a fixed order."""
    root = Path(sysconfig.get_paths()["stdlib"])
    skip = {"site-packages", "dist-packages", "__pycache__", "lib2to3"}
    return sorted(p for p in root.rglob("*.py") if not skip & set(p.relative_to(root).parts))


def corpus(
    source: Path | None = None, *, vocab_size: int = 1024, cache: Path | None = None
) -> Corpus:
    """Open a corpus, tokenising it on first use.

    Args:
        source: a text file, a folder of text, a folder made earlier by this function, or a token shard
            (`.bin`, uint16); None is the Python standard library.
        vocab_size: of the byte-level BPE that is trained on the text; for a shard, its own.
        cache: where tokenised corpora are kept; default `~/.cache/planner/corpora`.

    Raises:
        SpecError: there is no text there, or too little.
        MissingExtra: `tokenizers` is not installed.

    """
    if source is not None and (source / "corpus.json").is_file():
        if (opened := _open(source)) is None:
            raise SpecError(f"{source}: not what was written there", hint="make the corpus again")
        return opened
    if source is not None and source.suffix == ".bin":
        return _shard(source, vocab_size)
    if source is None:
        files, name = (
            standard_library(),
            f"python-{sys.version_info[0]}.{sys.version_info[1]}-stdlib",
        )
    elif source.is_dir():
        files = sorted(p for p in source.rglob("*") if p.suffix in TEXT and p.is_file())
        name = source.name
    else:
        files, name = [source], source.name
    files = [f for f in files if f.is_file()]
    size = sum(f.stat().st_size for f in files)
    if size < 10_000:
        raise SpecError(f"{source}: {size} bytes of text in {len(files)} files is too little")
    label = json.dumps([name, vocab_size, [(str(f), _digest(f)) for f in files]])
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = (cache or base / "planner" / "corpora") / hashlib.sha256(label.encode()).hexdigest()[
        :16
    ]
    if (opened := _open(folder)) is None:  # none yet, or one that was cut or changed
        shutil.rmtree(folder, ignore_errors=True)
        _tokenise(files, name, vocab_size, folder)
        opened = _open(folder)
    if opened is None:
        raise OutputError(f"{folder}: what was written is not what is there", hint="free some disk")
    return opened


def _digest(file: Path) -> str:
    with file.open("rb") as held:
        return hashlib.file_digest(held, "sha256").hexdigest()


def _texts(files: list[Path]) -> Iterator[tuple[str, bool]]:
    """Yield each text and whether it is held out: by a hash, so no neighbour decides. One file is cut."""
    if len(files) == 1:
        text = files[0].read_text(encoding="utf-8", errors="replace")
        cut = len(text) - len(text) // HELD_OUT
        yield text[:cut], False
        yield text[cut:], True
        return
    for file in files:
        digest = hashlib.sha256("/".join(file.parts[-2:]).encode()).digest()
        yield file.read_text(encoding="utf-8", errors="replace"), digest[0] % HELD_OUT == 0


def _tokenise(files: list[Path], name: str, vocab_size: int, folder: Path) -> None:
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    except ImportError:
        raise MissingExtra.of("tokenizers", extra="calibration") from None
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # A few megabytes settle a vocabulary this small; never a held-out file.
    sample, taken = [], 0
    for text, held_out in _texts(files):
        if not held_out and taken < 4_000_000:
            sample.append(text)
            taken += len(text)
    tokenizer.train_from_iterator(sample, trainer)
    dtype = np.uint16 if vocab_size <= 1 << 16 else np.uint32
    end = tokenizer.token_to_id(END)
    streams: dict[bool, list[NDArray[np.integer]]] = {False: [], True: []}
    n_bytes = 0
    for text, held_out in _texts(files):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        streams[held_out].append(np.array([*ids, end], dtype=dtype))
        n_bytes += len(text.encode()) if held_out else 0
    if not streams[True] or not streams[False]:
        raise SpecError(f"{name}: no file is left to hold out", hint="give more, or longer, files")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=folder.parent))
    facts = {
        "name": name,
        "vocab_size": vocab_size,
        "dtype": np.dtype(dtype).name,
        "heldout_bytes": n_bytes,
    }
    try:
        for held_out, stem in ((False, "train"), (True, "heldout")):
            tokens = np.concatenate(streams[held_out]).tobytes()
            write_whole(part / f"{stem}.bin", tokens)
            facts[f"{stem}_sha256"] = hashlib.sha256(tokens).hexdigest()
        tokenizer.save(str(part / "tokenizer.json"))
        write_whole(part / "corpus.json", json.dumps(facts))
        with contextlib.suppress(OSError):  # another run made the same corpus meanwhile
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _open(folder: Path) -> Corpus | None:
    """Open a corpus; None where there is none, or it is not as it was written."""
    try:
        facts = json.loads((folder / "corpus.json").read_text())
        dtype = np.dtype(facts["dtype"])
        for stem in ("train", "heldout"):
            if _digest(folder / f"{stem}.bin") != facts.get(f"{stem}_sha256"):
                return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    heldout = np.memmap(folder / "heldout.bin", dtype=dtype, mode="r")
    return Corpus(
        name=facts["name"],
        vocab_size=facts["vocab_size"],
        train=np.memmap(folder / "train.bin", dtype=dtype, mode="r"),
        heldout=heldout,
        heldout_bytes_per_token=facts["heldout_bytes"] / len(heldout),
    )


def _shard(path: Path, vocab_size: int) -> Corpus:
    """Open a shard of uint16 tokens; its last sixteenth is held out and its bytes are unknown."""
    tokens = np.memmap(path, dtype=np.uint16, mode="r")
    if int(tokens.max()) >= vocab_size:
        raise SpecError(
            f"{path} holds token {int(tokens.max())}, outside a vocabulary of {vocab_size}",
            hint="give the tokenizer's size with --vocab-size",
        )
    cut = len(tokens) - len(tokens) // HELD_OUT
    return Corpus(path.stem, vocab_size, tokens[:cut], tokens[cut:], float("nan"))
