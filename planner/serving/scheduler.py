"""The engine's scheduler, step by step, jumping over steps in which nothing changes.

Continuous batching; four switches of `Rules` make it that of an engine:

    vLLM V1            chunked, cuts         decoding goes first, then prompts in order of arrival, cut
                                             to what the token budget leaves (vllm/v1/core/sched)
    vLLM V0                                  whole prompts in steps of their own, decoding stands still
                                             (vllm/core/scheduler.py of 0.6)
    SGLang             cuts                  prompts first, alone, as many as the chunk size holds, the
                                             last one cut (srt/managers/{scheduler,schedule_policy}.py)
    TensorRT-LLM 1.x   chunked, reserves     whole prompts beside decoding, within max_num_tokens; a
                                             request enters if its whole output will fit, and is never
                                             set back (GUARANTEED_NO_EVICT, pyexecutor/scheduler.py)

`ahead` (asynchronous scheduling, overlap): a step is put together when the one before it starts, so
what arrives meanwhile waits a step longer. With `looks_every` the scheduler asks for new requests after
as many decode steps only, after every step of prompts, and always while it has nothing to do (SGLang's
--scheduler-recv-interval, managers/scheduler_recv_skipper.py). A prompt enters when the cache has blocks for all of it.
A sequence that finds no free block preempts the youngest, which gives up its blocks and computes
them again later. Between two events (an arrival that can enter, a finish, a full cache) every step
is a plain decode step, and the run of them is one sum.
"""

import heapq
import math
from collections import deque
from dataclasses import dataclass, field

from planner import limits
from planner.columns import FrontEnd
from planner.serving.front_end import NONE, Server
from planner.serving.step_times import StepTimes


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits of one engine, in whole numbers."""

    max_num_seqs: int
    max_batched_tokens: int
    block_tokens: int
    n_blocks: int
    chunked: bool  # prompts and decoding share steps
    cuts: bool = True  # prompts are cut to the budget of a step
    ahead: bool = False  # a step is put together when the one before it starts
    reserves: bool = False  # a request enters only if its whole output will fit
    looks_every: int = 1  # decode steps from one look for new requests to the next


@dataclass(slots=True)
class Log:
    """What happened: a row an event in `timeline`, and every gap between tokens with its count."""

    # end of the event (s), decoding, holding memory, waiting, blocks in use, engine busy (s)
    timeline: list[tuple[float, int, int, int, int, float]] = field(default_factory=list)
    gaps: list[tuple[float, int]] = field(default_factory=list)
    # end of the event (s), the longest gap it closes: what every request then decoding met
    met: list[tuple[float, float]] = field(default_factory=list)
    recomputed: dict[int, float] = field(default_factory=dict)  # a preempted request's own gap
    steps: int = 0
    events: int = 0
    preemptions: int = 0
    prompt_tokens: int = 0  # computed, again after a preemption included
    decode_tokens: int = 0
    prompt_steps: int = 0
    # Over the time that is measured: decoding, its square, holding memory, waiting, blocks, work, and
    # the time itself [each · s].
    integrals: list[float] = field(default_factory=lambda: [0.0] * 7)
    max_waiting: int = 0


class Engine:
    """One engine and the requests it was given, by index: prompt to compute, context held, output."""

    def __init__(
        self,
        times: StepTimes,
        rules: Rules,
        arrival_s: list[float],
        prompt: list[int],
        cached: list[int],
        output: list[int],
        *,
        in_flight: int | None = None,
        front_end: FrontEnd = NONE,
        measured: tuple[int, int] | None = None,
        stop_early: bool = False,
    ) -> None:
        """Take requests sorted by arrival; with `in_flight`, ignore arrivals and close the loop.

        With `measured`, stop when requests from its first to before its second number have ended, or
        with `stop_early` when they have come.
        """
        n = len(prompt)
        self.times, self.rules, self.log = times, rules, Log()
        self.arrival, self.cached = list(arrival_s), list(cached)
        # What a preempted prompt still finds in the prefix cache: nothing, if another engine made it.
        self.prefix = [c if todo else 0 for c, todo in zip(cached, prompt, strict=True)]
        self.todo = list(prompt)  # prompt tokens still to compute
        self.left, self.output = list(output), output  # tokens still to produce, and in all
        self.first: list[float] = [-1.0] * n
        self.finish: list[float] = [-1.0] * n
        self.closed = in_flight is not None
        self.sent = n if in_flight is None else min(in_flight, n)  # requests clients have sent
        if self.closed:
            self.arrival = [0.0] * n
        self.server = Server(front_end, prompt) if front_end != NONE else None
        self.next = 0  # the request that the scheduler sees next
        self.taken: deque[float] = deque()  # when it sees those that the server has begun
        self.intake = 0  # the request that the server begins next
        self.came = 0  # requests that have arrived at the server
        self.waiting: deque[int] = deque()
        self.decided = 0.0  # clock at which the next step was put together
        self.unasked = 0  # decode steps since the scheduler last looked for new requests
        self.span = range(n) if measured is None else range(*measured)
        self.missing = len(self.span)  # measured requests that have not ended
        self.all_measured = self.missing == n
        self.stop_early = stop_early
        self.promised = 0  # blocks that requests inside will hold in the end, where reserved
        self.now, self.busy, self.tick = 0.0, 0.0, 0
        self.free = rules.n_blocks
        # Prompts that hold blocks and are being computed, oldest first.
        self.prefilling: deque[int] = deque()
        self.decoding, self.context_sum = 0, 0
        self.ends: list[tuple[int, int, int]] = []  # heap: last tick, entry number, request
        self.entry: list[int] = [-1] * n  # the entry in `ends` that counts
        self.end_tick: list[int] = [0] * n
        self.entries = 0
        # Decoding sequences by (context - tick) mod block: those at -tick need a block now.
        self.phase = [0] * rules.block_tokens
        self.offset: list[int] = [0] * n  # context - tick while decoding
        self.age: list[int] = []  # requests in the order they entered; stale entries are skipped
        self.last_token: dict[int, float] = {}  # of those preempted while decoding
        self.stalled: list[list[float]] = []  # whole prefill: [sequences, seconds since a token]

    # -- the loop ---------------------------------------------------------------------------

    def simulate(self) -> Log:
        """Serve every request, or until those that are measured have ended."""
        self.most_events = limits.greatest("events")
        self.ready = self._look()  # when the scheduler sees the next request
        while self.missing and not (self.stop_early and self.sent > self.span.stop):
            if not (self.decoding or self.prefilling or self.waiting):
                self.unasked = 0
            while not self.unasked and self.ready <= self.decided:
                self.waiting.append(self.next)
                self.next += 1
                if self.taken:
                    self.taken.popleft()
                self.ready = self._look()
            if not (self.decoding or self.prefilling or self.waiting):
                if self.ready == math.inf:
                    break
                self._record()
                if self.next in self.span:
                    self.log.integrals[6] += max(self.ready - self.now, 0.0)
                self.now = self.decided = max(self.now, self.ready)
                self.ready = self._look()
                continue
            self._step()
            if self.log.events > self.most_events:
                raise limits.over("events", "a simulation")
            self.ready = self._look()
        return self.log

    def _look(self) -> float:
        """Return when the scheduler sees the next request, as far as can be said now."""
        server, arrival = self.server, self.arrival
        if server is None:
            return arrival[self.next] if self.next < self.sent else math.inf
        taken, i = self.taken, self.intake
        while i < self.sent and server.free <= self.now and arrival[i] <= self.now:
            taken.append(server.ready(i, arrival[i]))
            i += 1
        self.intake = i
        if taken:
            return taken[0]
        if i < self.sent:
            return max(server.free, arrival[i]) + server.cost[i] + server.fixed
        return math.inf

    def _spend(self, seconds: float, steps: int, last_s: float) -> None:
        """Let `steps` steps pass, of which the last takes `last_s`."""
        total, n, waiting = self.log.integrals, self.decoding, len(self.waiting)
        if self.span.start <= self.next and (self.next < self.span.stop or self.all_measured):
            total[0] += n * seconds
            total[1] += n * n * seconds
            total[2] += (n + len(self.prefilling)) * seconds
            total[3] += waiting * seconds
            total[4] += (self.rules.n_blocks - self.free) * seconds
            total[5] += seconds
            total[6] += seconds
        self.log.max_waiting = max(self.log.max_waiting, waiting)
        self.now += seconds
        self.busy += seconds
        self.log.steps += steps
        self.decided = self.now - last_s if self.rules.ahead else self.now

    def _reaches_client(self, tokens: int, steps: int, seconds: float) -> float:
        """Return when the tokens of the steps that end now are with their clients."""
        server = self.server
        if server is None or not tokens:
            return self.now
        ahead = 0.0
        if server.shared:  # requests that came and wait to be taken in go before
            while self.came < self.sent and self.arrival[self.came] <= self.now:
                self.came += 1
            self._look()
            ahead = server.total[self.came] - server.total[min(self.intake, self.came)]
        return server.send(self.now, tokens, steps, seconds, ahead)

    def _step(self) -> None:
        """Take one step, or a run of like ones."""
        rules = self.rules
        wanted = self.phase[-self.tick % rules.block_tokens]
        preempted = False
        while wanted > self.free:
            self._preempt()
            wanted, preempted = self.phase[-self.tick % rules.block_tokens], True
        budget = rules.max_batched_tokens - (self.decoding if rules.chunked else 0)
        if self.waiting and not (preempted and self.decoding):
            self._admit(budget - sum(self.todo[i] for i in self.prefilling), wanted)
        if self.prefilling and (budget > 0 or not rules.cuts):
            self._prompt_step(budget)
        else:
            self._decode_run(1 if preempted else None)

    def _admit(self, budget: int, reserved: int) -> None:
        """Let prompts in while the step's budget, the places and the blocks last."""
        rules, waiting = self.rules, self.waiting
        block = rules.block_tokens
        while waiting:
            i = waiting[0]
            whole = self.todo[i] + self.cached[i]
            blocks = -(-whole // block)
            full = self.decoding + len(self.prefilling) >= rules.max_num_seqs
            if full or blocks > self.free - reserved:
                return
            # Whole prompts share a step only if all fit; the first may be over the budget.
            too_long = self.todo[i] > budget and bool(self.prefilling)
            if (rules.cuts and budget <= 0) or (not rules.cuts and too_long):
                return
            if rules.reserves:
                whole_blocks = -(-(whole + self.left[i]) // block)
                if self.promised + whole_blocks > rules.n_blocks:
                    return
                self.promised += whole_blocks
            waiting.popleft()
            self.free -= blocks
            self.prefilling.append(i)
            self.age.append(i)
            budget -= self.todo[i]

    def _prompt_step(self, budget: int) -> None:
        """One step with prompt tokens; in the chunked engine, everyone else decodes beside them."""
        rules, todo = self.rules, self.todo
        tokens, seen, done = 0, 0.0, []
        for i in self.prefilling:
            chunk = min(todo[i], budget - tokens) if rules.cuts else todo[i]
            if chunk <= 0 and todo[i] > 0:
                break
            # self.cached grows with the chunks: a chunk's token sees what is cached and half of it.
            seen += chunk * (self.cached[i] + chunk / 2)
            todo[i] -= chunk
            self.cached[i] += chunk
            tokens += chunk
            if todo[i] == 0:
                done.append(i)
        beside = self.decoding if rules.chunked else 0
        context = self.context_sum / beside if beside else 0.0
        if tokens:
            seconds = self.times.mixed(tokens, seen / tokens, len(done), beside, context)
        else:  # prompts that came with their cache join the decoding at once
            seconds = 0.0
        self._spend(seconds, 1, seconds)
        self.unasked = 0
        self.log.prompt_steps += 1
        self.log.prompt_tokens += tokens
        self.client = self._reaches_client(len(done) + beside * (tokens > 0), 1, seconds)
        if beside and tokens:
            self._advance(1, seconds)
        elif not rules.chunked:
            self._stall(seconds)
        for i in done:
            self.prefilling.popleft()
            self._first_token(i)
        self._record()

    def _decode_run(self, most: int | None) -> None:
        """All decode, until someone ends, someone can enter, or the cache is full."""
        rules = self.rules
        while self.entry[self.ends[0][2]] != self.ends[0][1]:
            heapq.heappop(self.ends)
        steps = most or self.ends[0][0] - self.tick
        steps = self._steps_with_blocks(steps)
        seqs, context = self.decoding, self.context_sum / self.decoding
        if not self.waiting and self.ready < math.inf and seqs < rules.max_num_seqs and steps > 1:
            # What comes while a step runs enters the next, or the one after it.
            patience = max(self.ready - self.now, 0.0)
            reached = self.times.steps_until(seqs, context, steps, patience) if patience else 0
            looks = -(-(self.unasked + max(reached + rules.ahead, 1)) // rules.looks_every)
            steps = min(looks * rules.looks_every - self.unasked, steps)
        if self.stalled and steps > 1:  # the first gap after a stall is its own
            steps = 1
        seconds = self.times.run(seqs, context, steps)
        last_s = self.times.run(seqs, context + steps - 1, 1) if rules.ahead else 0.0
        self._spend(seconds, steps, last_s)
        self.unasked = (self.unasked + steps) % rules.looks_every
        self.client = self._reaches_client(seqs * steps, steps, seconds)
        self._advance(steps, seconds)
        self._record()

    # -- sequences --------------------------------------------------------------------------

    def _advance(self, steps: int, seconds: float) -> None:
        """Give every decoding sequence `steps` tokens, and end those that have all of theirs."""
        block = self.rules.block_tokens
        self.free -= self._blocks_for(steps)
        self.context_sum += self.decoding * steps
        self.log.decode_tokens += self.decoding * steps
        self._gaps(steps, seconds)
        self.tick += steps
        ends, tick = self.ends, self.tick
        while ends and ends[0][0] <= tick:
            _, entry, i = heapq.heappop(ends)
            if self.entry[i] == entry:
                self._leave(i)
                self.free += -(-(self.offset[i] + tick) // block)
                self._end(i)

    def _stall(self, seconds: float) -> None:
        """Everyone who decodes waits; those who joined since the last wait so far have not."""
        fresh = self.decoding - sum(int(count) for count, _ in self.stalled)
        if fresh > 0:
            self.stalled.append([fresh, 0.0])
        for cohort in self.stalled:
            cohort[1] += seconds

    def _gaps(self, steps: int, seconds: float) -> None:
        stalled = max((stall for _, stall in self.stalled), default=0.0)
        self.log.met.append((self.now, seconds / steps + stalled))
        if self.rules.chunked or not self.stalled:
            self.log.gaps.append((seconds / steps, self.decoding * steps))
            return
        known = 0
        for count, stall in self.stalled:
            self.log.gaps.append((seconds + stall, int(count)))
            known += int(count)
        if self.decoding > known:
            self.log.gaps.append((seconds, self.decoding - known))
        self.stalled.clear()

    def _first_token(self, i: int) -> None:
        """The prompt is computed: its first token is there, or the first since it was preempted."""
        if self.left[i] > 0:
            self.left[i] -= 1
            if self.first[i] < 0:
                self.first[i] = self.client
            elif i in self.last_token:
                gap = self.now - self.last_token.pop(i)
                self.log.gaps.append((gap, 1))
                self.log.recomputed[i] = max(gap, self.log.recomputed.get(i, 0.0))
        if self.left[i] == 0:
            self.free += -(-self.cached[i] // self.rules.block_tokens)
            self._end(i)
            return
        offset = self.offset[i] = self.cached[i] - self.tick
        self.phase[offset % self.rules.block_tokens] += 1
        self.decoding += 1
        self.context_sum += self.cached[i]
        self.entries += 1
        self.entry[i] = self.entries
        self.end_tick[i] = self.tick + self.left[i]
        heapq.heappush(self.ends, (self.end_tick[i], self.entries, i))

    def _leave(self, i: int) -> None:
        """Take a sequence out of the decoding batch."""
        self.entry[i] = -1
        self.decoding -= 1
        self.context_sum -= self.offset[i] + self.tick
        self.phase[self.offset[i] % self.rules.block_tokens] -= 1

    def _end(self, i: int) -> None:
        self.finish[i] = self.client
        if self.rules.reserves:
            whole = self.cached[i] + self.output[i]
            self.promised -= -(-whole // self.rules.block_tokens)
        self.missing -= i in self.span
        if self.closed and self.sent < len(self.todo):
            self.arrival[self.sent] = self.client
            self.sent += 1

    def _preempt(self) -> None:
        """Send the youngest back to the head of the queue, to compute everything again."""
        while True:
            i = self.age.pop()
            if self.entry[i] >= 0:
                context = self.offset[i] + self.tick
                self.left[i] = self.end_tick[i] - self.tick
                self._leave(i)
                self.free += -(-context // self.rules.block_tokens)
                # The token made last is not cached yet: it is computed with the rest.
                whole = context + 1
                self.last_token[i] = self.now
                break
            if i in self.prefilling:
                whole = self.todo[i] + self.cached[i]
                self.prefilling.remove(i)
                self.free += -(-whole // self.rules.block_tokens)
                break
        self.cached[i] = self.prefix[i]
        self.todo[i] = whole - self.prefix[i]
        self.waiting.appendleft(i)
        self.log.preemptions += 1

    # -- blocks -----------------------------------------------------------------------------

    def _blocks_for(self, steps: int) -> int:
        """Return the blocks that `steps` decode steps from here take."""
        block, phase, tick = self.rules.block_tokens, self.phase, self.tick
        cycles, rest = divmod(steps, block)
        partial = sum(phase[-(tick + j) % block] for j in range(rest))
        return cycles * self.decoding + partial

    def _steps_with_blocks(self, steps: int) -> int:
        """Return how many of `steps` decode steps the free blocks allow, one at least."""
        if self._blocks_for(steps) <= self.free:
            return steps
        low, high = 1, steps  # the caller has seen to the first step
        while high - low > 1:
            middle = (low + high) // 2
            if self._blocks_for(middle) <= self.free:
                low = middle
            else:
                high = middle
        return low

    def _record(self) -> None:
        used = self.rules.n_blocks - self.free
        holding = self.decoding + len(self.prefilling)
        row = (self.now, self.decoding, holding, len(self.waiting), used, self.busy)
        self.log.timeline.append(row)
        self.log.events += 1
