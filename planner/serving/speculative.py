"""Speculative decoding: a draft model proposes k tokens, one step of the served model checks them.

All of this module speaks of time a token: k draft steps and the check, over the tokens they yield.
Drafts are made within the engine's step, so only the check pays for scheduling and output.
The rest of the serving layer can then count one token a step, as without speculation.  [Leviathan
2023, arXiv 2211.17192]
"""

from dataclasses import replace

from planner.columns import Arch, Speculation, Step, System
from planner.cost.memory import kv_bytes_per_token, kv_room_bytes, weight_bytes
from planner.cost.operators.operator import is_zero
from planner.cost.step import device_s, step_s
from planner.equation import equation, maximum, minimum
from planner.units import Scalar, Seconds


@equation
def tokens_a_check(p: Speculation) -> Scalar:
    """Tokens a check yields on average: those accepted and one of its own.  [Leviathan 2023, eq. 1]

    Args:
        p: draft, tokens drafted at a time, chance that one is kept.

    """
    acceptance = minimum(p.acceptance, 1 - 1e-9)
    return (1 - acceptance ** (p.draft_tokens + 1)) / (1 - acceptance)


def draft_system(s: System) -> System:
    """Return the draft model on the same devices, engine and precision.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    assert s.speculation is not None
    return replace(s, arch=s.speculation.draft, speculation=None)


def check_step(p: Speculation, w: Step) -> Step:
    """The served model's step: each sequence's keys read once, by its token and those proposed.

    Args:
        p: draft, tokens drafted at a time, chance that one is kept.
        w: what the step processes: tokens and sequences, likewise.

    """
    return replace(w, decode_queries=p.draft_tokens + 1.0)


def engine_step_s(s: System, w: Step) -> Seconds:
    """Time of one engine step that gives every decoding sequence one token, drafts included.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    p = s.speculation
    if p is None:
        return step_s(s, w)
    draft = draft_system(s)
    decode = Step(decode_seqs=w.decode_seqs, decode_context=w.decode_context)
    drafting_s = p.draft_tokens * device_s(draft, decode)
    # A check and its drafts belong to all the tokens they yield; none where nobody decodes.
    decoding = minimum(w.decode_seqs, 1.0)
    token_s = decoding * (step_s(s, check_step(p, decode)) + drafting_s) / tokens_a_check(p)
    if is_zero(w.prefill_tokens):
        return token_s
    prompt = replace(w, decode_seqs=0.0, decode_context=0.0)
    beside_s = step_s(s, w) - decoding * step_s(s, decode)
    return token_s + beside_s + device_s(draft, prompt)


def with_draft(s: System, draft: Arch, draft_tokens: Scalar, acceptance: Scalar) -> System:
    """Return `s` with speculation; the draft's weights and cache take their part of the memory.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        draft: the shape: counts, as numbers or columns of one length.
        draft_tokens: tokens drafted at a time.
        acceptance: chance that a drafted token is kept.

    """
    speculating = replace(s, speculation=Speculation(draft, draft_tokens, acceptance))
    small = draft_system(speculating)
    weights = weight_bytes(small)
    taken = replace(s.limits, reserve_bytes=s.limits.reserve_bytes + weights)
    room = maximum(0.0, kv_room_bytes(replace(s, limits=taken)))
    own = kv_bytes_per_token(small)
    share = own / (own + kv_bytes_per_token(s))
    reserve = taken.reserve_bytes + room * share
    return replace(speculating, limits=replace(s.limits, reserve_bytes=reserve))
