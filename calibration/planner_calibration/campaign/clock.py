"""The time a campaign has, and what is set apart for its end."""

import time
from dataclasses import dataclass, field

FIT_SHARE, FIT_MOST_S = 0.15, 150.0  # of the time, set apart for fits and the report
SMOKE_SHARE, SMOKE_MOST_S = 0.25, 300.0  # in which every stage must have shown that it works


@dataclass(frozen=True, slots=True)
class Clock:
    """Counts down `seconds` from when it was made."""

    seconds: float
    begun: float = field(default_factory=time.monotonic)

    @property
    def spent_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.begun

    @property
    def reserve_s(self) -> float:
        """Seconds set apart for the end."""
        return min(FIT_MOST_S, FIT_SHARE * self.seconds)

    @property
    def left_s(self) -> float:
        """Seconds left for measuring."""
        return self.seconds - self.reserve_s - self.spent_s

    @property
    def smoke_s(self) -> float:
        """Seconds that the first, small runs of all stages may take."""
        return min(SMOKE_MOST_S, SMOKE_SHARE * self.seconds)
