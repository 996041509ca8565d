"""The server around the engine: HTTP, tokenising, detokenising, streaming. CPU time that requests queue for.

A request passes the intake before the scheduler sees it, and its tokens pass the stream before the
client does. Each is a queue with one server, in order of arrival. Where one process does both (an
asyncio loop, as vLLM's), tokens wait behind the requests that arrived before them, and a burst of a
thousand prompts gets its first answers when nearly all are taken in; where they are apart (SGLang's
tokenizer and detokenizer managers), not.
"""

from collections.abc import Sequence
from itertools import accumulate

from planner.columns import FrontEnd, Workload
from planner.equation import equation
from planner.units import Seconds

NONE = FrontEnd()


@equation
def intake_s(f: FrontEnd, w: Workload) -> Seconds:
    """Delay of a lone request before the scheduler sees it, and of its first token on the way back.

    Args:
        f: times of the front end, s.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return f.fixed_s + f.request_s + f.prompt_token_s * w.input_tokens + f.token_s


class Server:
    """The front end of one engine while requests pass through it."""

    def __init__(self, f: FrontEnd, prompt_tokens: Sequence[int]) -> None:
        """Take the prompts in the order they come."""
        self.fixed, self.token, self.shared = float(f.fixed_s), float(f.token_s), bool(f.shared)
        self.cost = [float(f.request_s) + float(f.prompt_token_s) * n for n in prompt_tokens]
        self.total = [0.0, *accumulate(self.cost)]
        self.free = 0.0  # when the intake has done what it began
        self.stream_free = 0.0
        self.sent = 0.0  # clock at which the last token reached its client

    def ready(self, i: int, arrival_s: float) -> float:
        """Take in a request, the next in order, and return when the scheduler sees it.

        Args:
            i: its number.
            arrival_s: when it came, s.

        """
        self.free = max(self.free, arrival_s) + self.cost[i]
        return self.free + self.fixed

    def send(self, now: float, tokens: int, steps: int, seconds: float, ahead: float) -> float:
        """Stream the tokens of steps that ended, and return when the last ones arrive.

        Args:
            now: clock at which the steps ended, s.
            tokens: of all of them, a count.
            steps: a count.
            seconds: that they took, s.
            ahead: intake work of requests that came before the tokens and still wait, s.

        """
        if not self.token and not self.shared:
            return now
        work = self.token * tokens
        each = work / steps
        free = self.free if self.shared else self.stream_free
        free = max(max(free, now - seconds) + work, now + each)
        if self.shared:
            self.free = free
        else:
            self.stream_free = free
        self.sent = max(self.sent, now, free - each / 2 + ahead)
        return self.sent
