"""Parts of one table's partition over time: what inserts make, and what merges leave.

ClickHouse's choice of what to merge (its `SimpleMergeSelector`, the default) is computed as ClickHouse computes it;
time is in steps of a second. A merge keeps one thread of the pool busy for a fixed time and for its rows.
"""

import math
from dataclasses import dataclass

# Of ClickHouse: merge_selector_base, and the constants of its selector.
BASE = 5.0
FIXED_COST_BYTES = 5 * 1024 * 1024
MERGED_AT_ONCE = 100
PARTS_TO_DELAY = 1000
PARTS_TO_REFUSE = 3000


@dataclass(eq=False)  # two of one size are two
class Part:
    rows: float
    bytes: float
    born: float
    merging: bool = False


def share(value, low, high):
    return min(1.0, max(0.0, (value - low) / (high - low)))


def allowed(total, largest, age, count, parts):
    """Whether a merge is worth it: the larger, the younger and the fewer the parts, the less."""
    if parts >= 50:
        return total + count * FIXED_COST_BYTES >= 2 * (largest + FIXED_COST_BYTES)
    size = share(math.log1p(total), math.log1p(1 << 20), math.log1p(100 << 30))
    oldest = 3600 + size * (30 * 86400 - 3600)
    lowered = min(1.0, share(age, 10, oldest) + share(parts, 10, 50))
    base = BASE + lowered * (2 - BASE)
    return (total + count * FIXED_COST_BYTES) / (largest + FIXED_COST_BYTES) >= base


def choose(parts, now):
    """The best run of neighbours, none of them under way; None when no run is worth it."""
    best = None
    # Of very many, every few is tried as the first of a run.
    for begin in range(0, len(parts), 1 + len(parts) // 150):
        total = largest = 0.0
        youngest = now
        for end in range(begin, min(len(parts), begin + MERGED_AT_ONCE)):
            part = parts[end]
            if part.merging:
                break
            total += part.bytes
            largest = max(largest, part.bytes)
            youngest = min(youngest, now - part.born)
            count = end - begin + 1
            if count < 2 or not allowed(total, largest, youngest, count, len(parts)):
                continue
            score = (total + FIXED_COST_BYTES * count) / (count - 1.9)
            if best is None or score < best[0]:
                best = (score, begin, end + 1)
    return best and best[1:]


def simulate(inserts_a_second, rows_an_insert, bytes_a_row, threads, seconds, merge):
    """How many parts there are in each second, and how often a row is written by merges.

    `merge` is (seconds of each, rows a second within it).
    """
    parts, running, counts = [], [], []
    due = written = inserted = 0.0
    for now in range(seconds):
        for done in [it for it in running if it[0] <= now]:
            running.remove(done)
            sources = done[1]
            at = parts.index(sources[0])
            rows = sum(it.rows for it in sources)
            whole = Part(rows, sum(it.bytes for it in sources), now)
            parts[at : at + len(sources)] = [whole]
            written += rows
        due += inserts_a_second
        while due >= 1:
            due -= 1
            # A table that refuses is one that collectors wait for.
            if len(parts) < PARTS_TO_REFUSE:
                parts.append(Part(rows_an_insert, rows_an_insert * bytes_a_row, now))
                inserted += rows_an_insert
        while len(running) < threads and (chosen := choose(parts, now)):
            sources = parts[chosen[0] : chosen[1]]
            for part in sources:
                part.merging = True
            takes = merge[0] + sum(it.rows for it in sources) / merge[1]
            running.append((now + takes, sources))
        counts.append(len(parts))
    return counts, written / max(1.0, inserted)
