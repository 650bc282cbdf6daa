"""What is deployed beside Teller names metrics that exist, and its alerts speak and are silent when they should."""

import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from teller.telemetry.table import LABELS, METRICS, Kind

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SOURCE = DEPLOY.parent / "src/teller/cli"
RULES = (DEPLOY / "prometheus/recording.yml", DEPLOY / "prometheus/alerts.yml")
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/teller.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
_NAME = re.compile(r"\b(teller[a-z_]*(?::[a-z0-9_:]+)?|process_[a-z_]+)\b(?=[\s{\[)]|$)")


def names_of_the_table() -> set[str]:
    """Every name that a query may use."""
    parts = ("_bucket", "_count", "_sum")
    return {
        metric.name + part
        for metric in METRICS.values()
        for part in (parts if metric.kind is Kind.HISTOGRAM else ("",))
    }


def expressions() -> list[str]:
    """Every PromQL expression of rules and dashboard."""
    found = [target["expr"] for panel in PANELS for target in panel["targets"]]
    found += [annotation["expr"] for annotation in DASHBOARD["annotations"]["list"]]
    for path in RULES:
        for block in re.findall(r"expr: (\|\n(?:\s{10,}.*\n)+|.*\n)", path.read_text()):
            found.append(block.removeprefix("|"))
    return found


def recorded() -> set[str]:
    return set(re.findall(r"record: (\S+)", RULES[0].read_text()))


def test_every_metric_that_rules_and_dashboard_name_exists():
    known = names_of_the_table() | recorded()
    used = {name for expression in expressions() for name in _NAME.findall(expression)}

    assert len(used) > 30
    missing = {name for name in used if name not in known and not name.startswith("process_")}
    assert not missing


def test_every_label_that_rules_and_dashboard_filter_by_may_hold_those_values():
    for expression in expressions():
        for label, operator, value in re.findall(r"(\w+)(=~|!~|!=|=)\"([^\"]*)\"", expression):
            if label in ("job", "instance"):
                continue
            allowed = LABELS[label].allowed
            assert set(value.split("|")) <= allowed, (expression, operator)


def test_every_metric_but_what_only_prometheus_wants_is_on_the_dashboard():
    shown = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    behind = " ".join(expressions())

    for metric in METRICS.values():
        if metric.name in ("teller_build_info", "teller_cache_lookup_seconds", "teller_training_tokens_per_second"):
            continue
        assert metric.name in shown or metric.name in behind, f"{metric.name} is shown nowhere"


def test_panels_have_a_source_a_meaning_and_a_place_of_their_own():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    source = re.search(r"uid: (\S+)", (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text()).group(1)
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in PANELS:
        assert panel["description"].endswith(".")
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {source}
        assert all(one < other for one, other in pairwise(target["refId"] for target in panel["targets"]))


def test_every_alert_says_what_to_do_and_has_a_test():
    alerts = RULES[1].read_text()
    names = re.findall(r"alert: (\S+)", alerts)

    assert len(names) == len(re.findall(r"\baction:", alerts)) == len(re.findall(r"\bsummary:", alerts))
    tests = (DEPLOY / "prometheus/alerts_test.yml").read_text()
    for name in names:
        assert f"alertname: {name}\n" in tests, f"{name} is never seen to fire"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here: apt-get install prometheus")
def test_prometheus_itself_accepts_the_rules_and_their_unit_tests_pass(tmp_path):
    shutil.copytree(DEPLOY / "prometheus", tmp_path, dirs_exist_ok=True)
    (tmp_path / "teller.token").write_text("a-token-of-some-length")
    for command in (
        ["check", "rules", "recording.yml", "alerts.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "alerts_test.yml"],
    ):
        done = subprocess.run(["promtool", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_send_nobody_to_a_command_that_does_not_exist():
    tables = {
        "adapter-control": (SOURCE / "adapter_control.py").read_text(),
        "cache-manager": (SOURCE / "cache_manager.py").read_text(),
        "teller": (SOURCE / "teller.py").read_text(),
    }
    named = re.findall(r"`(adapter-control|cache-manager|teller) ([a-z-]+)[^`]*`", RULES[1].read_text())

    assert {program for program, _ in named} == set(tables)
    for program, command in named:
        if not command.startswith("--"):
            assert re.search(rf'"{command}"|def {command}\(', tables[program]), f"{program} {command}"
