"""Tables of training runs as people have them, in our words: CSV, JSON records, exports of W&B.

A column is known by its names, whatever their case, separators, and the path before them
(``model.hidden_dim``); `columns` names one outright.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from planner.errors import SpecError
from planner.inputs.files import Content, Sheet, csv_in, documents_in
from planner.law.columns import NDefinition

NAMES = {  # our column: what others call it, as `_plain` writes a name
    "loss": "loss valloss validationloss evalloss testloss finalloss finalvalloss finalevalloss "
    "crossentropy celoss nll",
    "n_tokens": "ntokens tokens numtokens traintokens trainingtokens ntraintokens ntrainingtokens "
    "totaltokens tokensseen tokenstrained consumedtokens datatokens trainedtokens",
    "n_params_non_embedding": "nparamsnonembedding nonembeddingparams nnonembed nonembed "
    "paramsnonembedding nnonembedding nparamsnonembed nonembeddingparameters nonembeddingparamcount "
    "numparamsnonembedding parametersnonembedding paramsnoembed",
    "n_params": "nparams ntotal totalparams paramstotal parametercount paramcount numparams "
    "numparameters nparameters totalparameters params parameters modelparams",
    "n_layers": "nlayers nlayer layers numlayers numhiddenlayers depth",
    "d_model": "dmodel hiddendim hiddensize nembd width modeldim embeddim dim",
    "head_dim": "headdim headsize dhead",
    "n_heads": "nheads nhead numheads heads numattentionheads",
    "n_kv_heads": "nkvheads nkvhead numkvheads kvheads numkeyvalueheads",
    "n_experts": "nexperts numexperts experts numlocalexperts",
    "vocab": "vocab vocabsize vocabularysize",
    "tied_embeddings": "tiedembeddings tieembeddings tiewordembeddings",
    "run_id": "runid run name runname",
    "dataset": "dataset data corpus",
    "mlp_attn_ratio": "mlpattnratio r",
    "d_over_sqrt_n": "doversqrtn",
    "source": "source",
}
_LETTERS = {"D": "n_tokens", "L": "loss"}  # in capitals only
_BARE_N = "n modelsize size"  # parameters, and nobody says which
_HINTS = {
    "loss": ("loss", "nll", "entropy", "ppl", "perplexity"),
    "n_tokens": ("token",),
    "n": ("param", "size"),
}


def training_sheet(
    path: Path | str,
    columns: Mapping[str, str] | None = None,
    n_definition: NDefinition | str | None = None,
) -> tuple[Sheet, NDefinition | str | None]:
    """Return a table with our names of its columns, and which N is still to be chosen.

    Args:
        path: CSV, TSV, JSON records or JSON lines, gzipped or not.
        columns: our name → its column, where its name does not say it.
        n_definition: which N a column is that only says N.

    Raises:
        SpecError: it is no table, a named column is absent, or it says N and not which.

    """
    sheet = _sheet(Path(path))
    header = sheet.header
    named = {ours: theirs for ours, theirs in (columns or {}).items()}
    for ours, theirs in named.items():
        if theirs not in header:
            raise SpecError(
                f"{path}: row 1: no column {theirs}", hint=f"the header has {', '.join(header)}"
            )
        if ours not in NAMES and ours != "n":
            raise SpecError(f"--column: no role {ours!r}", hint=f"one of n, {', '.join(NAMES)}")
    renamed = {theirs: ours for ours, theirs in named.items()}
    for ours, known in NAMES.items():
        if ours in header or ours in named:
            continue
        words = known.split()
        found = [n for n in header if n not in renamed and _role(n, ours, words)]
        if found:
            renamed[
                min(found, key=lambda n: words.index(w) if (w := _plain(n)) in words else 99)
            ] = ours
    return _said_n(sheet, renamed, n_definition)


def likely(header: Sequence[str], role: str) -> str:
    """Say which columns may be meant for a role that none is known for."""
    found = [n for n in header if any(word in n.lower() for word in _HINTS.get(role, ()))]
    said = " or ".join(f"--column {role}={name}" for name in found[:4])
    return said or f"say which: --column {role}=NAME; the header has {', '.join(header)}"


def _role(name: str, ours: str, words: Sequence[str]) -> bool:
    return _LETTERS.get(name) == ours or (len(name) > 1 and _plain(name) in words)


def _plain(name: str) -> str:
    """Return a column's name without the path before it, in lower case letters."""
    bare = re.split(r"[./]", name.removesuffix(".value"))[-1]
    return re.sub(r"[^a-z0-9]", "", bare.lower())


def _sheet(path: Path) -> Sheet:
    hint = "name a table of runs, CSV or JSON"
    text = Content.of(path, hint=hint).text(hint=hint)
    if not text.lstrip().startswith(("{", "[")):
        return csv_in(text, path, hint=hint)
    found = documents_in(text, path, hint=hint)
    records = found[0] if len(found) == 1 and isinstance(found[0], list) else found
    rows = [_flat(record) for record in records if isinstance(record, dict)]
    if not rows:
        raise SpecError(f"{path}: no records", hint=hint)
    return Sheet.of(rows, path)


def _flat(record: Mapping[str, Any], above: str = "", depth: int = 0) -> dict[str, str]:
    """Return a record's cells, those of its objects under their path."""
    cells: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, dict) and depth < 8:
            cells |= _flat(value, f"{above}{name}.", depth + 1)
        elif isinstance(value, str | int | float | bool):
            cells[f"{above}{name}"] = str(value)
    return cells


def _said_n(
    sheet: Sheet, renamed: dict[str, str], wanted: NDefinition | str | None
) -> tuple[Sheet, NDefinition | str | None]:
    """Return the table with its columns renamed, a bare N by what `wanted` says it is."""
    header = [renamed.get(name, name) for name in sheet.header]
    bare = next((n for n in sheet.header if renamed.get(n) == "n"), "") or next(
        (n for n in sheet.header if n not in renamed and _plain(n) in _BARE_N.split()), ""
    )
    known = {"n_params", "n_params_non_embedding", "n_active_params_non_embedding", "N_total",
             "N_nonembed", "N_active_nonembed", "n_definition"}  # fmt: skip
    if not bare or known & set(header):
        return _with(sheet, renamed), wanted
    if wanted is None:
        raise SpecError(
            f"{sheet.path}: row 1: {bare} may count embeddings or not",
            hint="say which it is: --n total, or --n non-embedding",
        )
    ours = {"total": "n_params", "non-embedding": "n_params_non_embedding"}
    name = ours.get(str(wanted), "n_active_params_non_embedding")
    sheet = _with(sheet, renamed | {bare: name})
    if name == "n_params" and {"vocab", "d_model", "tied_embeddings"} <= set(sheet.header):
        return _without_embeddings(sheet), None
    return sheet, wanted


def _with(sheet: Sheet, renamed: Mapping[str, str]) -> Sheet:
    rows = [{renamed.get(name, name): cell for name, cell in row.items()} for row in sheet.rows]
    return Sheet(sheet.path, tuple(renamed.get(n, n) for n in sheet.header), rows, sheet.lines)


def _without_embeddings(sheet: Sheet) -> Sheet:
    """Return the table with N less its embeddings beside N: two tables, or one where they are tied."""
    n, vocab, width = (sheet.numbers(name) for name in ("n_params", "vocab", "d_model"))
    tied = [r.get("tied_embeddings", "").lower() in ("true", "1", "yes") for r in sheet.rows]
    for row, total, rows, columns, one in zip(sheet.rows, n, vocab, width, tied, strict=True):
        row["n_params_non_embedding"] = repr(float(total - rows * columns * (1 if one else 2)))
    header = (*sheet.header, "n_params_non_embedding")
    return Sheet(sheet.path, header, sheet.rows, sheet.lines)
