#!/usr/bin/env python3
"""What 10,000 services of 100 instances each make of rows, parts, bytes and cost.

    python3 docs/scale/model.py                         the tables, as they are in docs/scale.md
    python3 docs/scale/model.py --write                 writes them there, and the charts beside this file
    python3 docs/scale/model.py --check                 fails when a figure is not as its page has it
    python3 docs/scale/model.py --services 500 --slow-polls-a-minute 0.2 …

Figures that were measured come with the page that has them; what was not measured is an assumption, and a flag.
"""

import argparse
import re
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path

import draw
import parts

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "scale.md"
ROOT = HERE.parent.parent
DAY = 86_400

# Figures of other pages: name, value, page, what stands there.
GUARANTEES, QUERIES, README = "docs/guarantees.md", "docs/queries.md", "queries/README.md"
CONFORMANCE = "docs/conformance.md"
ANCHORS = [
    ("rows a second, 2 cores", 73_000, GUARANTEES, r"with ([\d,]+) rows a second \(median"),
    ("insert interval, s", 2, GUARANTEES, r"`--batch-interval` \| (\d+) s"),
    ("rows of a batch", 50_000, GUARANTEES, r"`--batch-rows` \| ([\d,]+)"),
    ("log, GiB", 4, GUARANTEES, r"`--log-bytes-max` \| (\d+) GiB"),
    ("requests under way, MiB", 256, GUARANTEES, r"`--waiting-bytes-max` \| (\d+) MiB"),
    ("batches under way, MiB", 320, GUARANTEES, r"batches under way have (\d+) MiB"),
    ("tokens of one collector, h", 27, GUARANTEES, r"\| 1 \| (\d+) hours"),
    ("poll_spans", 37.7, README, r"a poll span takes \*\*([\d.]+) bytes"),
    ("functions_1m", 65.9, QUERIES, r"`functions_1m` \| [\d,]+ \| ([\d.]+)"),
    ("functions_1h", 77.3, QUERIES, r"`functions_1h` \| [\d,]+ \| ([\d.]+)"),
    ("services_1m", 85.4, QUERIES, r"`services_1m` \| [\d,]+ \| ([\d.]+)"),
    ("services_1h", 332.5, QUERIES, r"`services_1h` \| [\d,]+ \| ([\d.]+)"),
    ("polls_1m", 9.0, QUERIES, r"`polls_1m` \| [\d,]+ \| ([\d.]+)"),
    ("polls_1h", 9.2, QUERIES, r"`polls_1h` \| [\d,]+ \| ([\d.]+)"),
    ("episodes", 56.1, QUERIES, r"`episodes` \| [\d,]+ \| ([\d.]+)"),
    ("poll_histograms", 32.9, QUERIES, r"`poll_histograms` \| [\d,]+ \| ([\d.]+)"),
    ("runtime_gauges", 4, QUERIES, r"`runtime_gauges` \| [\d,]+ \| ([\d.]+)"),
    ("polls of the seed", 99_999_963, QUERIES, r"`poll_spans` \| ([\d,]+)"),
    ("episodes of the seed", 10_000_202, QUERIES, r"`episodes` \| ([\d,]+)"),
    ("top, rows of a day", 720_610, QUERIES, r"`top` \| all \| ([\d,]+)"),
    ("top, ms of a day", 167, QUERIES, r"`top` \| all \| [\d,]+ \| (\d+) ms"),
    ("top, rows of a month", 5_057_834, QUERIES, r"`top` \|(?: [^|]+\|){4} ([\d,]+)"),
    ("top, ms of a month", 359, QUERIES, r"`top` \|(?: [^|]+\|){5} (\d+) ms"),
    ("connections", 4_096, CONFORMANCE, r"connections of a listener \| ([\d,]+)"),
    ("MiB of 10,000 connections", 64, CONFORMANCE, r"silent connections \| (\d+) MiB for 10,000"),
    ("services", 5_000, CONFORMANCE, r"services \| ([\d,]+), `--services-max`"),
    ("functions of a service", 10_000, CONFORMANCE, r"of one service \| ([\d,]+), `--functions-max`"),
    ("instances of a service", 10_000, CONFORMANCE, r"its environment and version \| ([\d,]+)"),
    ("functions times instances", 10_000, CONFORMANCE, r"episodes at a time \| ([\d,]+) \| one episode"),
]
KNOWN = {name: value for name, value, _, _ in ANCHORS}


@dataclass(frozen=True)
class Plan:
    """What one may choose, and what is assumed."""

    services: int = 10_000
    instances: int = 100  # of each service
    functions: int = 20  # of each instance, that are polled in a minute
    slow_polls_a_minute: float = 1.0  # of each instance
    report_seconds: float = 10  # OTEL_METRIC_EXPORT_INTERVAL
    sums: int = 13  # numbers of a report beside its histograms: six of polls, seven of a runtime
    deploys_a_day: float = 1  # each makes an instance a new one
    histogram_days: int = 30
    episode_days: int = 90
    # As measured on 2 cores, debug build, ClickHouse included. docs/performance.md has the collector's part of it, release build.
    rows_a_second_of_a_core: float = KNOWN["rows a second, 2 cores"] / 2
    collector_share: float = 0.5  # of that work, the rest is ClickHouse's
    used_at_most: float = 0.5  # of a machine; the rest is for merges, questions and a bad day
    collector_cores: int = 4
    clickhouse_cores: int = 32
    clickhouse_disk_tb: float = 8.0
    connections_max: int = 50_000  # --connections-max
    fold_keys: int = KNOWN["functions times instances"]
    span_bytes: float = 9_637  # on the wire: docs/scale.md, measured here
    report_bytes: float = 2_139  # likewise, of ten histograms and six sums
    core_hour: float = 0.04  # USD, with 4 GiB of memory
    disk_gb_month: float = 0.08
    traffic_gb: float = 0.02  # between zones, both ways


@dataclass(frozen=True)
class Load:
    """What a fleet makes in a second, and what is kept of it."""

    fleet: int
    requests: float
    rows: dict
    tables: dict  # name: rows a day, days, bytes a row
    wire: float
    keys: float

    def rows_a_second(self):
        return sum(self.rows.values())

    def day_bytes(self):
        return sum(rows * size for rows, _, size in self.tables.values())

    def kept_bytes(self):
        return sum(rows * days * size for rows, days, size in self.tables.values())


def distinct(of, drawn):
    """How many different ones of so many come up, drawn at random."""
    return of * (1 - (1 - 1 / of) ** drawn)


def load(plan):
    fleet = plan.services * plan.instances
    polls = fleet * plan.slow_polls_a_minute / 60
    reports = fleet / plan.report_seconds
    episode_share = KNOWN["episodes of the seed"] / KNOWN["polls of the seed"]
    rows = {
        "poll_spans": polls,
        "poll_histograms": reports * plan.functions,
        "runtime_gauges": reports * plan.sums,
        "heartbeats": reports,
        "episodes": polls * episode_share,
    }
    minute = distinct(plan.functions, plan.instances * plan.slow_polls_a_minute)
    hour = distinct(plan.functions, plan.instances * plan.slow_polls_a_minute * 60)
    live = min(1.0, plan.instances * plan.slow_polls_a_minute)
    per_minute, per_hour = plan.services * 1440, plan.services * 24
    days = {
        "poll_spans": (polls * DAY, 7),
        # Reports of one minute merge into one row.
        "poll_histograms": (fleet * plan.functions * 1440, plan.histogram_days),
        "runtime_gauges": (rows["runtime_gauges"] * DAY, 7),
        "episodes": (rows["episodes"] * DAY, plan.episode_days),
        "functions_1m": (per_minute * minute, 90),
        "functions_1h": (per_hour * hour, 400),
        "services_1m": (per_minute * live, 90),
        "services_1h": (per_hour, 400),
        "polls_1m": (per_minute, 90),
        "polls_1h": (per_hour * plan.functions, 400),
    }
    tables = {name: (*it, KNOWN[name]) for name, it in days.items()}
    wire = polls * plan.span_bytes + reports * plan.report_bytes * (plan.functions + plan.sums) / 16
    # The fold remembers an episode for five minutes after its last poll.
    keys = distinct(plan.functions, plan.slow_polls_a_minute * 5)
    return Load(fleet, polls + reports, rows, tables, wire, keys)


def limits(plan):
    """What one collector of 2 cores with its defaults comes to, in instances, the first one first."""
    it = load(plan)
    of_one = it.rows_a_second() / it.fleet
    kept = it.kept_bytes() / it.fleet
    log = KNOWN["log, GiB"] * 2**30 / (it.wire / it.fleet) / 3600
    found = [
        (KNOWN["functions times instances"] / it.keys, "functions times instances in episodes",
         "more collectors, a higher `HOLDUP_THRESHOLD`",
         "episodes of more functions are `otel.metric.overflow`; `holdup_fold_overflow`"),
        (KNOWN["connections"], "`--connections-max`", "raise it, and `LimitNOFILE`",
         "the most silent connection is closed"),
        (KNOWN["rows a second, 2 cores"] / of_one, "rows a second", "more cores, longer reports",
         "the log grows, `HoldupRowsLate`"),
        (KNOWN["instances of a service"] * 10 / (1 + plan.deploys_a_day), "ten times `--instances-max`, a day",
         "raise it", "instances are `otel.metric.overflow`"),
        (KNOWN["services"] * plan.instances, "`--services-max`", "raise it", "services are `otel.metric.overflow`"),
        (KNOWN["functions of a service"] * 10 / plan.functions * plan.instances, "ten times `--functions-max`",
         "raise it", "functions are `otel.metric.overflow`"),
        (plan.clickhouse_disk_tb * 1e12 / kept, f"{plan.clickhouse_disk_tb:g} TB of disk, all tables at their full age",
         "`retention.sql`", "ClickHouse refuses, the log fills"),
        (log, "4 GiB of log, for an hour without ClickHouse", "`--log-bytes-max`", "503, senders come again"),
    ]
    return sorted(found)


@dataclass(frozen=True)
class Cells:
    """Groups of services, each with collectors and a ClickHouse of its own."""

    cells: int
    collectors: int  # in all
    why_cells: str
    why_collectors: str
    cost: dict


def cells(plan):
    it = load(plan)
    rows = it.rows_a_second()
    a_core = plan.rows_a_second_of_a_core * plan.used_at_most
    needs = {
        "cores": rows / (a_core / (1 - plan.collector_share)) / plan.clickhouse_cores,
        "disk": it.kept_bytes() / (plan.clickhouse_disk_tb * 1e12 * 0.7),
    }
    collect = {
        "cores": rows / (a_core / plan.collector_share) / plan.collector_cores,
        "connections": it.fleet / plan.connections_max,
        "keys of episodes": it.fleet * it.keys / plan.fold_keys,
    }
    collectors = round_up(max(collect.values()))
    # A token is to be known for an hour.
    needs["tokens"] = collectors / KNOWN["tokens of one collector, h"]
    number = round_up(max(needs.values()))
    collectors = max(collectors, 2 * number)
    cores = number * plan.clickhouse_cores + collectors * plan.collector_cores
    log = collectors * KNOWN["log, GiB"] * 1.25
    cost = {
        "ClickHouse": number * plan.clickhouse_cores * plan.core_hour * 24,
        "collectors": (cores - number * plan.clickhouse_cores) * plan.core_hour * 24,
        "disk": (it.kept_bytes() / 1e9 / 0.7 + log) * plan.disk_gb_month / 30,
        "traffic": it.wire * DAY / 1e9 * plan.traffic_gb,
    }
    return Cells(number, collectors, largest(needs), largest(collect), cost)


def round_up(value):
    return max(1, int(-(-value // 1)))


def largest(needs):
    return max(needs, key=needs.get)


def memory_mib(plan):
    """Of one collector, at its bounds."""
    waiting = 2 * KNOWN["requests under way, MiB"] + KNOWN["batches under way, MiB"]
    return waiting + plan.connections_max * KNOWN["MiB of 10,000 connections"] / 10_000


def top_seconds(rows):
    """Of `top` over so many rows, by the two ranges that were measured."""
    many, few = KNOWN["top, rows of a month"], KNOWN["top, rows of a day"]
    slope = (KNOWN["top, ms of a month"] - KNOWN["top, ms of a day"]) / (many - few)
    return (KNOWN["top, ms of a day"] + slope * (rows - few)) / 1000


def scenarios(plan):
    minutes = replace(plan, report_seconds=60)
    rare = replace(minutes, slow_polls_a_minute=plan.slow_polls_a_minute / 20)
    return {
        "as it comes": plan,
        "a report a minute": minutes,
        "and 1 slow poll in 20": rare,
        "and 7 days of histograms": replace(rare, histogram_days=7),
    }


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def tables(plan):
    plans = scenarios(plan)
    loads = {name: load(it) for name, it in plans.items()}
    made = {name: cells(it) for name, it in plans.items()}
    tb = lambda value: f"{value / 1e12:,.1f} TB"
    row = lambda name, text: [name, *[text(key) for key in plans]]
    out = [table(["", *plans], [
        row("requests a second", lambda k: f"{loads[k].requests:,.0f}"),
        row("MB a second on the wire", lambda k: f"{loads[k].wire / 1e6:,.0f}"),
        row("rows a second into ClickHouse", lambda k: f"{loads[k].rows_a_second():,.0f}"),
        row("of these `poll_histograms`", lambda k: f"{loads[k].rows['poll_histograms']:,.0f}"),
        row("of these `runtime_gauges`", lambda k: f"{loads[k].rows['runtime_gauges']:,.0f}"),
        row("of these `poll_spans`", lambda k: f"{loads[k].rows['poll_spans']:,.0f}"),
        row("on disk a day, merged", lambda k: tb(loads[k].day_bytes())),
        row("on disk, when all is as old as it gets", lambda k: tb(loads[k].kept_bytes())),
        row("cells, and what asks for them", lambda k: f"{made[k].cells} ({made[k].why_cells})"),
        row("collectors in all, and what asks for them",
            lambda k: f"{made[k].collectors} ({made[k].why_collectors})"),
        row("inserts a second into each `poll_histograms`",
            lambda k: f"{inserts(plans[k], made[k]):.1f}"),
        row("rows of `functions_1m` that `top` reads for a day in a cell",
            lambda k: f"{loads[k].tables['functions_1m'][0] / made[k].cells:,.0f}"),
        row("`top` for that day, by its slope",
            lambda k: f"{top_seconds(loads[k].tables['functions_1m'][0] / made[k].cells):.2f} s"),
        row("USD a day", lambda k: f"{sum(made[k].cost.values()):,.0f}"),
    ])]
    out.append(table(["instances", "what is reached", "what one sees", "what lifts it"], [
        [f"{at:,.0f}", what, seen, lift] for at, what, lift, seen in limits(plan)
    ]))
    return out


def inserts(plan, made):
    """A second, into one table of one cell: one in each interval, or more where batches are full."""
    collectors = made.collectors / made.cells
    rows = load(plan).rows["poll_histograms"] / made.cells
    return max(collectors / KNOWN["insert interval, s"], rows / (4 * KNOWN["rows of a batch"]))


# Of one merge: seconds, and rows a second within it. 819 merges of 11.5 million rows took 201 s: docs/scale.md.
MERGE = (0.2, 400_000)


def charts(plan):
    plans = scenarios(plan)
    sizes = [10**exponent for exponent in range(2, 7)]
    series = []
    for name, it in plans.items():
        points = [(n, load(replace(it, services=max(1, n // it.instances))).rows_a_second()) for n in sizes]
        series.append((name, points))
    capacity = plan.rows_a_second_of_a_core * 2
    one = "2 cores, measured"
    rows = draw.lines(
        "Rows a second by instances", "rows a second into ClickHouse by number of instances", "instances",
        "rows a second", (100, 1e6), (10, 1e7), series[:2], [(one, capacity)])
    curves = []
    for collectors in (2, 10, 50, 200, 500):
        counts, _ = parts.simulate(
            collectors / KNOWN["insert interval, s"], 5_000, KNOWN["functions_1m"], 16, 300, MERGE)
        curves.append((f"{collectors} collectors", [(at, max(1, counts[at - 1])) for at in range(1, 301, 2)]))
    bounds = [("inserts are delayed", parts.PARTS_TO_DELAY), ("inserts are refused", parts.PARTS_TO_REFUSE)]
    many = draw.lines(
        "Parts of one partition, 16 merges at a time", "parts over time by number of collectors", "seconds",
        "parts", (1, 1000), (1, 10_000), curves, bounds)
    bars = [(name, list(cells(it).cost.values())) for name, it in plans.items()]
    cost = draw.bars("Cost a day", "cost a day by plan", "USD", bars, list(cells(plan).cost))
    return {"rows.svg": rows, "parts.svg": many, "cost.svg": cost}


def wrong_anchors():
    wrong = []
    for name, value, page, pattern in ANCHORS:
        found = re.search(pattern, re.sub(r"\s+", " ", (ROOT / page).read_text()))
        has = found and float(found.group(1).replace(",", ""))
        if has != value:
            wrong.append(f"{name}: {value} here, {has} in {page}; put that into docs/scale/model.py, and --write")
    return wrong


def with_tables(text, made):
    for at, it in enumerate(made):
        pattern = rf"(<!-- model {at}: begin -->\n).*?(<!-- model {at}: end -->)"
        text, times = re.subn(pattern, lambda m: f"{m[1]}\n{it}\n{m[2]}", text, flags=re.S)
        if times != 1:
            sys.exit(f"{PAGE}: no place for table {at}; put back its two marks")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    for field in fields(Plan):
        kind = type(field.default)
        parser.add_argument("--" + field.name.replace("_", "-"), type=kind, default=field.default, metavar=kind.__name__)
    given = vars(parser.parse_args())
    plan = Plan(**{field.name: given[field.name] for field in fields(Plan)})
    made = tables(plan)
    if not (given["write"] or given["check"]):
        print("\n\n".join(made))
        return
    files = {PAGE: with_tables(PAGE.read_text(), made)}
    files |= {HERE / name: text for name, text in charts(plan).items()}
    if given["write"]:
        for path, text in files.items():
            path.write_text(text)
        return
    wrong = wrong_anchors()
    for path, text in files.items():
        if not path.exists() or path.read_text() != text:
            wrong.append(f"{path.name} is not what the model makes: python3 docs/scale/model.py --write")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
