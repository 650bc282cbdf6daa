"""A report as one HTML file, for screen and paper: pictures and style inside, nothing from elsewhere, no scripts."""

from __future__ import annotations

import base64
import html
import time
from collections.abc import Iterable, Sequence
from importlib import resources

from teller.reports.figures import GROUPS, View
from teller.reports.plots import PICTURES, png

_MARK = '<meta name="generator" content="Teller report">'
_HEAD = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{_MARK}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
"""
_LONG = 26  # characters from which a cell is a text rather than a number or a word
_NO_TEXTS = "Questions are not kept in this log (log.keep_text is off), or all were answered."


def is_report(start: str) -> bool:
    """Whether a file that begins so is a report, which a newer one may replace."""
    return _MARK in start


def html_page(view: View) -> str:
    """The page of a report.

    Raises:
        EngineUnavailable: if matplotlib is missing.
    """
    style = (resources.files("teller.reports") / "report.css").read_text(encoding="utf-8")
    period = f"{_moment(view['since'])} to {_moment(view['until'])}"
    body = "".join(_sections(view)) if view["turns"] or view["cache"]["misses"] else _nothing(view)
    return (
        f"{_HEAD}<title>Teller report, {_text(period)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"<header><p>Teller</p><h1>What the cache and the adapters are worth</h1><p>{_text(period)}</p></header>\n"
        f"<main>\n{body}</main>\n<footer><p>Made {_text(_moment(view['made_at']))} from the log of turns. "
        f"Questions are redacted. Counts are exact, percentiles within 1 %.</p></footer>\n</body>\n</html>\n"
    )


def _nothing(view: View) -> str:
    log = view["log"]
    if log is None:
        why = "No turn is logged yet" + ("." if view["is_logging"] else ": log.turns is off.")
    else:
        why = f"The log has turns from {_moment(log['since'])} to {_moment(log['until'])}: none is in this range."
    return f'<section class="nothing"><h2>No turns in this range</h2><p>{_text(why)}</p></section>\n'


def _sections(view: View) -> Iterable[str]:
    yield _tiles(view)
    if view["shed"]:
        yield f'<p class="warning">{view["shed"]:,} records could not be written in this range: all counts are low.</p>'
    yield _section(view, "hit-rate", _classes(view), _reasons(view))
    yield _section(view, "similarity", _similarity(view))
    yield _section(view, "bounds", _trust(view))
    yield _section(view, "latency", _latency(view))
    yield _section(view, "savings", _savings(view))
    yield _section(view, "adapters", _adapters(view), _toggles(view))
    yield f"<section>\n<h2>Questions missed most</h2>\n{_missed(view)}</section>\n"
    yield _section(view, "entries", _entries(view))


def _section(view: View, name: str, *tables: str) -> str:
    picture = PICTURES[name]
    if not picture.has_data(view):
        said = "".join(tables) or "<p>Nothing to show in this range.</p>\n"
        return f"<section>\n<h2>{picture.title}</h2>\n{said}</section>\n"
    light, dark = (base64.b64encode(png(picture, view, dark=dark)).decode() for dark in (False, True))
    return (
        f'<section id="{name}">\n<h2>{picture.title}</h2>\n<picture><source media="(prefers-color-scheme: dark)" '
        f'srcset="data:image/png;base64,{dark}"><img src="data:image/png;base64,{light}" alt="{_text(picture.alt)}" '
        f'width="860" height="370"></picture>\n{"".join(tables)}</section>\n'
    )


def _tiles(view: View) -> str:
    now, before = view["cache"], view["before"]
    change = "no lookups before"
    if None not in (now["hit_rate"], before["hit_rate"]):
        change = f"{100 * (now['hit_rate'] - before['hit_rate']):+.1f} points on the period before"
    saved = f"{now['saved_tokens']:,} tokens" + (
        f", {now['saved_money']:,.2f} {view['currency']}" if now["saved_money"] is not None else ""
    )
    tiles = (
        ("Turns", f"{view['turns']:,}", f"at most {view['most_at_once']:,} at once"),
        ("Hit rate", _share(now["hit_rate"]), change),
        ("Of what may be cached", _share(now["hit_rate_eligible"]), f"{now['hits']:,} hits, {now['misses']:,} misses"),
        ("Waiting saved", _duration(now["saved_s"]), saved),
    )
    items = (f"<div><dt>{name}</dt><dd>{value}</dd><dd>{note}</dd></div>" for name, value, note in tiles)
    return f'<dl class="tiles">{"".join(items)}</dl>\n'


def _classes(view: View) -> str:
    return _table(
        "By class of the answer",
        ("class", "hits", "misses", "hit rate", "exact", "semantic"),
        [
            (one["class"], one["hits"], one["misses"], _share(one["hit_rate"]), one["exact"], one["semantic"])
            for one in view["by_class"]
        ],
    )


def _reasons(view: View) -> str:
    total = max(1, view["cache"]["misses"])
    rows = [(reason.replace("_", " "), count, _share(count / total)) for reason, count in view["by_reason"].items()]
    return _table("Why the cache gave nothing", ("reason", "misses", "share"), rows)


def _similarity(view: View) -> str:
    rows = [
        (f"{one['from']:.3f} to {one['to']:.3f}", *(one[group] for group in GROUPS), _share(one["served"]))
        for one in reversed(view["similarity"])
    ]
    header = ("similarity", *GROUPS, "served")
    note = (
        "<p>Similarity is one thing among several that count: values, polarity and roles must agree, and the "
        "probability that the answer is right must lie in the accepted region of its class, below.</p>\n"
    )
    return note + f"<details><summary>The bins as a table</summary>{_table('', header, rows)}</details>\n"


def _trust(view: View) -> str:
    rows = [
        (
            one["class"],
            one["state"],
            "-" if one["min_probability"] is None else f"{one['min_probability']:.4f}",
            _share(one["certified_bound"]),
            _share(one["bound_of_checked_hits"]),
            one["checked"],
            one["wrong"],
            one["why"],
        )
        for one in view["trust"]
    ]
    header = ("class", "region", "from probability", "certified, at most", "of checked hits", "checked", "wrong", "why")
    return f"<p>{_text(view['trust_note'])}</p>\n{_table('', header, rows)}"


def _latency(view: View) -> str:
    rows = [
        (one["source"], one["turns"], *(_ms(one[name]) for name in ("p50", "p95", "p99"))) for one in view["latency"]
    ]
    return _table("From the question to its answer", ("source", "turns", "p50", "p95", "p99"), rows)


def _savings(view: View) -> str:
    rows = [
        (
            one["class"],
            one["hits"],
            _ms(one["hit_ms"]),
            _ms(one["composed_ms"]),
            _duration(one["saved_s"]),
            one["saved_tokens"],
            "-" if one["saved_money"] is None else f"{one['saved_money']:,.2f} {view['currency']}",
        )
        for one in view["by_class"]
    ]
    header = ("class", "hits", "a hit takes", "composing takes", "waiting saved", "tokens saved", "money saved")
    note = "" if view["currency"] else "<p>No money is shown: log.token_price is 0.</p>\n"
    return _table("", header, rows) + note


def _adapters(view: View) -> str:
    rows = [
        (
            one["adapter"] or "base model",
            one["turns"],
            one["generated"],
            _share(one["grounded_share"]),
            _range(one["grounded_share_95"]),
            _ms(one["generate_p50"]),
            _ms(one["generate_p95"]),
            "-" if one["tokens_per_s"] is None else f"{one['tokens_per_s']:,.1f}",
        )
        for one in view["adapters"]
    ]
    header = ("version", "turns", "answers checked", "grounded", "95 %", "generating p50", "p95", "tokens/s")
    return _table("By adapter version", header, rows)


def _toggles(view: View) -> str:
    rows = [
        (
            _moment(one["at"]),
            one["toggle"] + (f" {one['canary']} for {one['share']:.0%}" if one["canary"] else ""),
            f"{one['before'] or 'base model'}: {_share(one['grounded_before'])}",
            f"{one['canary'] or one['after'] or 'base model'}: {_share(one['grounded_after'])}",
            _range(one["change_95"], "{:+.1f} points"),
            one["who"],
            one["why"],
        )
        for one in view["toggles"]
    ]
    if not rows:
        return "<p>No adapter was toggled in this range.</p>\n"
    header = ("at", "toggle", "before: grounded", "after: grounded", "change, 95 %", "who", "why")
    return _table("Toggles: the version before and the one after, each over the whole range", header, rows)


def _missed(view: View) -> str:
    if not view["missed"]:
        return f"<p>{_NO_TEXTS}</p>\n"
    rows = [
        (
            one["asked"],
            " · ".join(one["questions"]),
            one["wordings"],
            one["reason"].replace("_", " "),
            one["answered_by"],
            one["advice"],
        )
        for one in view["missed"]
    ]
    header = ("asked", "questions", "wordings", "missed because", "answered by", "what to do")
    return f"<p>{_text(view['missed_note'])}</p>\n{_table('', header, rows)}"


def _entries(view: View) -> str:
    rows = [
        (
            one["id"],
            one["class"],
            one["state"],
            one["hits"],
            f"{one['accuracy']:.3f}",
            one["answer_id"],
            one["question"],
        )
        for one in view["entries"]
    ]
    header = ("entry", "class", "state", "hits", "accuracy", "answer", "question")
    return f"<p>{_text(view['entries_note'])}</p>\n{_table('', header, rows)}"


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return ""
    kinds = [_kind([row[place] for row in rows]) for place in range(len(header))]
    top = "".join(f'<th scope="col"{kind}>{_text(name)}</th>' for name, kind in zip(header, kinds, strict=True))
    cells = ([f"<td{kind}>{_text(_shown(one))}</td>" for one, kind in zip(row, kinds, strict=True)] for row in rows)
    lines = "".join(f"<tr>{''.join(row)}</tr>\n" for row in cells)
    named = f"<caption>{_text(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table>{named}<thead><tr>{top}</tr></thead><tbody>\n{lines}</tbody></table></div>\n'


def _kind(column: Sequence[object]) -> str:
    """How the cells of a column are set: numbers to the right, long texts with room."""
    texts = [_shown(value) for value in column]
    if all(text[:1] in "-+0123456789" and ":" not in text and len(text) < _LONG for text in texts):
        return " class=number"
    return " class=long" if any(len(text) >= _LONG for text in texts) else ""


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _text(value: str) -> str:
    return html.escape(value)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _range(limits: Sequence[float] | None, form: str = "{:.1f} %") -> str:
    return "-" if limits is None else " to ".join(form.format(100 * limit) for limit in limits)


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1_000:,.2f} s" if value >= 10_000 else f"{value:,.1f} ms" if value >= 10 else f"{value:.2f} ms"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:,.1f} s"


def _moment(unix_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix_s))
