"""Markdown tables of the results."""

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.peers import OURS, PEERS, UNIT

Row = dict[str, Any]
KERNELS = {
    "rbf": "ARD-RBF",
    "matern32": "Matérn-3/2",
    "matern52": "ARD-Matérn-5/2",
    "rbf+periodic": "ARD-RBF + periodic",
}


def machine(result: dict[str, Any]) -> str:
    """Return a line that describes the machine."""
    of = result["machine"]
    return (
        f"{of['processor']}, {of['cores']} cores, {of['memory_gib']} GiB, {of['system']}, Python {of['python']}, "
        f"{of['date']}; load when it began: {of['load_before']}."
    )


def participants(results: dict[str, dict[str, Any]]) -> str:
    """Return a table of who took part at which versions and settings, and who was skipped and why."""
    known: dict[str, dict[str, Any]] = {}
    for result in results.values():
        known |= {name: peer for name, peer in result["peers"].items() if name not in known}
    lines = [
        [peer["label"], f"skipped: {peer['skipped']}", "", peer["settings"]]
        if "skipped" in peer
        else [peer["label"], _versions(peer["versions"]), _libraries(peer["libraries"]), peer["settings"]]
        for peer in (known[name] for name in PEERS if name in known)
    ]
    return table(["library", "versions", "linear algebra", "settings"], lines)


def _versions(versions: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def _libraries(libraries: list[dict[str, Any]]) -> str:
    found = {f"{one['library']} {one.get('version', '')} {one.get('core type', '')}".strip() for one in libraries}
    return ", ".join(sorted(found))


def by_size(rows: Iterable[Row], key: str) -> str:
    """Return a table of a quantity's median and spread: a line for each library and kernel, a column for each size."""
    rows = list(rows)
    sizes = sorted({row["n"] for row in rows})
    cells: dict[tuple[str, str], dict[int, str]] = {}
    for row in rows:
        if row["peer"] != UNIT:
            cells.setdefault((row["peer"], row["kernel"]), {})[row["n"]] = _cell(row, key)
    lines = [
        [_bold(f"{PEERS[name].label}: {KERNELS[kernel]}", name), *(found.get(n, "–") for n in sizes)]
        for (name, kernel), found in cells.items()
    ]
    second, label = ("cpu", "one unit: dpotrf + dpotri (s)") if key == "units" else (key, "dpotrf + dpotri alone")
    unit = {row["n"]: f"{row[second]['median']:.3g}" for row in rows if row["peer"] == UNIT and second in row}
    lines.append([label, *(unit.get(n, "–") for n in sizes)])
    return table(["", *(f"n = {n}" for n in sizes)], lines)


def _cell(row: Row, key: str) -> str:
    if key not in row:
        return "–"
    of = row[key]
    mark = "" if row.get("equal", True) else "*"
    return f"{of['median']:.3g}{mark}<br><sub>{of['least']:.3g}–{of['most']:.3g}</sub>"


def agreement(rows: Iterable[Row]) -> str:
    """Return a table of how far each library's value and gradient were from ours, at the worst size."""
    worst: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if "error_nats" in row and row["peer"] != OURS:
            worst.setdefault((row["peer"], row["kernel"]), []).append(row)
    lines = []
    for (name, kernel), found in worst.items():
        row = max(found, key=lambda one: abs(one["error_nats"]))
        sizes = ", ".join(str(n) for n in sorted({one["n"] for one in found if not one["equal"]}))
        gradient = max(one["gradient_error"] for one in found)
        equal = f"no, at n = {sizes}" if sizes else "yes"
        lines.append(
            [f"{PEERS[name].label}: {KERNELS[kernel]}", equal, f"{abs(row['error_nats']):.2g}", f"{gradient:.1g}"]
        )
    return table(["", "value equal to 1e-6", "largest error (nats)", "largest error of the gradient (relative)"], lines)


def series(rows: Iterable[Row]) -> str:
    """Return a table of µs and bytes a row over one input: a line for each library and kernel."""
    rows = list(rows)
    sizes = sorted({row["n"] for row in rows})
    names = {"matern32": "Matérn-3/2", "matern52": "Matérn-5/2"}
    lines = []
    for name, kernel in dict.fromkeys((row["peer"], row["kernel"]) for row in rows):
        found = {row["n"]: row for row in rows if (row["peer"], row["kernel"]) == (name, kernel)}
        if any("microseconds" in row for row in found.values()):
            largest = max((row for row in found.values() if "bytes" in row), key=lambda row: row["n"])
            cells = [_cell(found[n], "microseconds") for n in sizes]
            lines.append([_bold(f"{PEERS[name].label}: {names[kernel]}", name), *cells, f"{largest['bytes']:.0f}"])
    return table(["", *(f"n = {n}" for n in sizes), "bytes a row, at most rows"], lines)


def memory(rows: Iterable[Row]) -> str:
    """Return a table of the memory of one evaluation."""
    lines = [
        [
            _bold(f"{PEERS[row['peer']].label}: {KERNELS[row['kernel']]}", row["peer"]),
            f"{row['matrices']:.2f}",
            f"{row['bytes'] / 2**20:.0f}",
        ]
        for row in rows
        if "matrices" in row
    ]
    return table(["", "n×n matrices of float64", "MiB"], lines)


def fits(rows: Iterable[Row]) -> str:
    """Return a table of the whole fits of one problem."""
    lines = []
    for row in rows:
        if "log_marginal_likelihood" not in row:
            continue
        end = [f"{row['log_marginal_likelihood']:.3f}", f"{row['gap_nats']:.3f}"]
        if "restarts" in row:
            lines.append([f"best of {row['restarts']} starts", str(row["restarts"]), "", "", "", *end])
            continue
        cpu, units = row["cpu"], row["units"]
        timing = [f"{cpu['median']:.3g} ({cpu['least']:.3g}–{cpu['most']:.3g})", f"{units['median']:.3g}"]
        peer = PEERS[row["peer"]]
        lines.append([_bold(peer.label, row["peer"]), peer.starts, *timing, str(row["evaluations"] or "–"), *end])
    head = ["", "starts", "CPU s", "units", "evaluations", "log marginal likelihood", "nats below the best"]
    return table(head, lines)


def predictions(rows: Iterable[Row]) -> str:
    """Return a table of prediction."""
    lines = []
    for row in rows:
        if "cpu" in row:
            label = "dtrsm alone" if row["peer"] == UNIT else _bold(PEERS[row["peer"]].label, row["peer"])
            cpu, units = row["cpu"], row["units"]
            error = "" if row["peer"] == UNIT else f"{row['error']:.1g}"
            timing = [f"{cpu['median']:.3g} ({cpu['least']:.3g}–{cpu['most']:.3g})", f"{units['median']:.3g}"]
            lines.append([label, *timing, f"{row['bytes'] / 1e6:.0f}", error])
    return table(["", "CPU s", "units of dtrsm", "memory (MB)", "largest difference from ours"], lines)


def left_out(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return a line for each library and measure of what was not measured, and why."""
    lines: dict[str, str] = {}
    for measure, result in results.items():
        for row in result["rows"]:
            if "left_out" in row:
                label = PEERS[row["peer"]].label if row["peer"] in PEERS else row["peer"]
                cores = f" on {row['cores']} cores" if row.get("cores", 1) > 1 else ""
                kernel = f", {KERNELS[row['kernel']]}" if row.get("kernel", "rbf") != "rbf" else ""
                # The first size says it for those beyond.
                lines.setdefault(f"{measure}{cores}: {label}{kernel}", f"from n = {row['n']}: {row['left_out']}")
    return [f"{name}, {why}" for name, why in lines.items()]


def table(head: list[str], lines: Iterable[list[str]]) -> str:
    """Return a Markdown table, numbers to the right."""
    rule = ["---", *("--:" if _is_numeric(name) else "---" for name in head[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])


_is_numeric: Callable[[str], bool] = lambda name: name not in ("versions", "linear algebra", "settings")  # noqa: E731


def _bold(text: str, name: str) -> str:
    return f"**{text}**" if PEERS[name].module == PEERS[OURS].module else text
