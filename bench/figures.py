"""Prints the figures for which crx has a bar to pass, each as a ratio or an absolute time, with the bar.

    figures.py [--runs N] [NAME...]      names: small threads downtime growth throughput

Everything is measured in one run on one machine: two network namespaces joined by a veth pair, TLS between them,
memory touched beforehand, the two sides of a comparison interleaved, medians taken.
"""
import argparse

from moves import Bench, gauge, median, ms, python, table, verdict


def print_steps(title, moves):
    """Prints how the time of the stop was spent: medians over the moves."""
    names = list(dict.fromkeys(name for move in moves for name in move.steps()))
    rows = [(title, "median us")]
    rows += [(name, int(median([move.steps().get(name, 0) for move in moves]))) for name in names]
    rows.append(("downtime", int(median([move.downtime_us for move in moves]))))
    if all(move.gap_us is not None for move in moves):
        rows.append(("largest gap the process saw", int(median([move.gap_us for move in moves]))))
    table(rows)


def spread(moves):
    values = sorted(move.downtime_us for move in moves)
    return f"median {ms(median(values))}, {ms(values[0])} to {ms(values[-1])}"


def small(bench, runs):
    moves = [bench.move(gauge(mib=1)) for _ in range(max(runs, 9))]
    downtime = median([move.downtime_us for move in moves])
    print(f"small process, one thread: downtime {spread(moves)}; bar 10 ms: {verdict(downtime <= 10_000)}")
    off = median([abs(move.gap_us - move.downtime_us) for move in moves])
    print(f"  what the process saw and what was reported differ by {ms(off)}; bar 1 ms: {verdict(off <= 1000)}")
    stop = median([move.tracking_stop_us for move in moves])
    print(f"  its one stop during the rounds: {ms(stop)}; bar 2 ms: {verdict(stop <= 2000)}")
    print_steps("where the microseconds go", moves)


def threads(bench, runs):
    kinds = {"Python, 4 threads": python(4), "100 threads": gauge(mib=1, threads=99)}
    moves = {name: [] for name in kinds}
    for _ in range(runs):
        for name, argv in kinds.items():
            moves[name].append(bench.move(argv))
    for name, list_of in moves.items():
        print(f"{name}: downtime {spread(list_of)}")
        print_steps("where the microseconds go", list_of)


def downtime(bench, runs):
    argv = gauge(mib=1024, rate=20)
    live, stopped = [], []
    for _ in range(runs):
        live.append(bench.move(argv))
        stopped.append(bench.move(argv, "--max-rounds", "0"))
    ratio = median([move.downtime_us for move in stopped]) / median([move.downtime_us for move in live])
    print(f"1 GiB, 20 MB/s at random pages: {spread(live)}; freeze, copy, restore: {spread(stopped)}")
    print(f"  {ratio:.0f} times shorter; bar 20: {verdict(ratio >= 20)}")
    off = median([abs(move.gap_us - move.downtime_us) for move in live])
    print(f"  what the process saw and what was reported differ by {ms(off)}; bar 1 ms: {verdict(off <= 1000)}")
    stop = median([move.tracking_stop_us for move in live])
    print(f"  its one stop during the rounds: {ms(stop)}; bar 2 ms: {verdict(stop <= 2000)}")
    rounds = [("rounds of the last move", "pages", "ms")]
    rounds += [(e["round"], e["pages_sent"], round(e["duration_us"] / 1000)) for e in live[-1].rounds]
    table(rounds)
    print_steps("where the microseconds go", live)


def growth(bench, runs):
    sizes = (64, 1024, 4096)
    moves = {size: [] for size in sizes}
    for _ in range(runs):
        for size in sizes:
            moves[size].append(bench.move(gauge(mib=size, hot=400)))
    for size in sizes:
        print(f"{size} MiB, the same 400 pages always dirty: downtime {spread(moves[size])}")
    least, most = (median([move.downtime_us for move in moves[size]]) for size in (sizes[0], sizes[-1]))
    per_gib = (most - least) / ((sizes[-1] - sizes[0]) / 1024)
    print(f"  growth {ms(per_gib)} per GiB; bar 2 ms: {verdict(per_gib <= 2000)}")
    for size in (sizes[0], sizes[-1]):
        print_steps(f"where the microseconds go, {size} MiB", moves[size])


def throughput(bench, runs):
    mib, rates, touches = 1024, [], []

    def touch():
        # Twice: memory that a hypervisor has taken back costs several times as much to touch, and the move gets these
        # pages next.
        bench.first_touch_us(mib)
        touches.append(mib / 1024 / (bench.first_touch_us(mib) / 1e6))

    for _ in range(runs):
        first = bench.move(gauge(mib=mib, idle=True), before=touch).rounds[0]
        rates.append(first["pages_sent"] / 262144 / (first["duration_us"] / 1e6))
    ratio = median(rates) / median(touches)
    print(f"first round, memory that does not compress: {median(rates):.2f} GiB/s; first touch by memset: "
          f"{median(touches):.2f} GiB/s")
    print(f"  ratio {ratio:.2f}; bar 0.7: {verdict(ratio >= 0.7)}\n", flush=True)


def main():
    figures = {f.__name__: f for f in (small, threads, downtime, growth, throughput)}
    parser = argparse.ArgumentParser(description="Prints the figures that crx is held to.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(figures))
    arguments = parser.parse_args()
    if any(name not in figures for name in arguments.names):
        parser.error(f"figures are: {' '.join(figures)}")
    with Bench() as bench:
        for name in arguments.names or figures:
            figures[name](bench, arguments.runs)


if __name__ == "__main__":
    main()
