"""The HTML report as text: what it is made from, what it makes of hostile, empty and huge results. The browser has tests of its own."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from trainer_props.reports import comparing, html, plots, reading

SAMPLE = json.loads((Path(__file__).parents[1] / "samples" / "result.json").read_text(encoding="utf-8"))
EMPTY = {
    "format": 1, "command": "check", "subject": "transformers:Trainer", "profile": "quick", "seed": 0, "interrupted": True, "versions": {},
    "seconds": 0.0, "runs": 0, "evaluations": 0, "experiments": [], "properties": [], "violations": [], "known_bugs": [], "coverage": {},
}  # fmt: skip
EVIL = "</script></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'><b>{{ 7 * 7 }}\x00\ud800"
VOID = {"meta", "link", "br", "wbr", "img", "input", "hr", "path", "rect", "use"}


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, ids, texts outside scripts and styles; open elements must match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.mismatched: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts += [" "] if tag in {"td", "th"} else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.mismatched.append(tag)

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def pictures(self) -> list[dict[str, str | None]]:
        """Those of violations."""
        return [each for each in self.all("svg") if not (each["aria-label"] or "").startswith("pairs of arguments")]

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.elements if "id" in attributes]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(html.html(SAMPLE))


def with_violation(**changes: Any) -> dict[str, Any]:
    data = copy.deepcopy(SAMPLE)
    data["violations"] = [{**data["violations"][0], "timeline": [], **changes}]
    return data


def test_page_is_well_formed(page: Page) -> None:
    assert page.mismatched == []
    assert page.open == []
    assert len(page.ids) == len(set(page.ids)) > 10


def test_every_link_within_the_page_has_its_target(page: Page) -> None:
    inner = [str(link["href"])[1:] for link in page.all("a") if str(link["href"]).startswith("#")]
    assert len(inner) > 10
    assert set(inner) <= set(page.ids)
    named = [name for _, attributes in page.elements for name in str(attributes.get("aria-labelledby") or "").split()]
    assert set(named) <= set(page.ids)


def test_page_reaches_for_nothing(page: Page) -> None:
    assert not {"link", "img", "iframe", "object", "embed"} & {tag for tag, _ in page.elements}
    for tag, attributes in page.elements:
        assert "src" not in attributes
        for name, value in attributes.items():
            if "://" in (value or ""):
                assert (tag, name) == ("a", "href")
    styles = re.findall(r"<style>(.*?)</style>", html.html(SAMPLE), re.DOTALL)
    assert len(styles) == 1
    assert not re.search(r"url\(|@import|@font-face", styles[0])


def test_page_says_what_was_found(page: Page) -> None:
    for each in (
        "3 new violations in my_pkg.train:make_trainer", "1234 runs", "4 of 5 properties evaluated", "1 known bug seen",
        "trainer-props check my_pkg.train:make_trainer --seconds 60 --seed 7", "transformers 5.23.0, accelerate 1.15.0",
        "2 cases were refused by the subject, most often: ValueError: not today", "eval_delay weight_decay",
        "Each update follows gradient_accumulation_steps micro-batches", "gradient_accumulation_steps=2 learning_rate=0.5 max_steps=3",
        "trainer-props replay steps.updates_close_windows--fe2ede75", "trainer-props script steps.updates_close_windows--fe2ede75",
        "Any other learning_rate fails too.", "verified: it fails the same way", "known bug arguments-setter-defaults", "1 agree",
        "FAILING steps.run_finishes--07f050e8 the run ZeroDivisionError",
        "Not shrunk to the end: stopped after 10.0 s.", "The loss of the last window is logged one update too late.", "and 4 more",
    ):  # fmt: skip
        assert each in page.text, each
    assert "NaN" not in page.text


def test_the_same_result_makes_the_same_page() -> None:
    assert html.html(SAMPLE) == html.html(copy.deepcopy(SAMPLE))


def test_everything_is_escaped() -> None:
    def poisoned(value: Any) -> Any:
        if isinstance(value, dict):
            return {(f"{key}{EVIL}" if deep(key) else key): poisoned(item) for key, item in value.items()}
        if isinstance(value, list):
            return [poisoned(item) for item in value]
        return f"{value}{EVIL}" if isinstance(value, str) and value != "NaN" else value

    def deep(key: str) -> bool:
        return key in {"learning_rate", "max_steps", "0.1", "train_once", "regression", "data", "set_evaluate: eval_delay", "transformers"}

    data = poisoned(SAMPLE)
    found = Page(html.html(data))
    assert len(found.all("script")) == 1
    assert not found.all("img")
    assert len(found.all("b")) == len(Page(html.html(SAMPLE)).all("b"))
    assert found.mismatched == []
    assert found.text.count("alert(1)") > 50
    assert "49" not in found.text
    (policy,) = [each["content"] for each in found.all("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert "script-src 'sha256-" in str(policy)


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", " https://example.org", "https://example.org/a b", "file:///x"])
def test_only_addresses_of_the_web_are_links(link: str) -> None:
    data = with_violation(source=link)
    data["known_bugs"][0]["link"] = link
    assert [each for each in Page(html.html(data)).all("a") if link in str(each["href"])] == []


def test_empty_result() -> None:
    found = Page(html.html(EMPTY))
    assert found.mismatched == []
    assert "nothing new in transformers:Trainer, interrupted" in found.text
    assert "none was judged" in found.text
    assert "No case was judged." in found.text
    assert not found.all("svg")


def test_what_an_earlier_start_had_found_is_not_called_new() -> None:
    there = [{"property": "steps.run_finishes", "since": "2026-11-28T01:17:00+00:00"}]
    found = Page(html.html({**SAMPLE, "campaign": {"rounds": 3, "still_there": there}}))
    assert "2 new violations, 1 still there in my_pkg.train:make_trainer" in found.text


def test_pairs_of_arguments_are_drawn(page: Page) -> None:
    (label,) = [str(each["aria-label"]) for each in page.all("svg") if each not in page.pictures()]
    assert label == "pairs of arguments: 3 were tried together, 2 were not"
    assert "2 pairs met in no case" in page.text


def test_pairs_of_arguments_are_cut_and_plain() -> None:
    data = copy.deepcopy(SAMPLE)
    data["coverage"]["pairs"] = {f"a{number}": {EVIL: 10**400, "z" * 400: -1} for number in range(200)}
    data["pairs_never_tried"] = [[EVIL, "b"]] * 300
    found = Page(html.html(data))
    assert found.mismatched == []
    assert "the first 80 of more arguments" in found.text


def test_huge_result() -> None:
    data = copy.deepcopy(SAMPLE)
    first = data["violations"][0]
    numbers = [float(number) for number in range(10_000)]
    first |= {"expected": numbers, "observed": [*numbers[:9000], -1.0, *numbers[9001:]], "divergence": "update 9001", "timeline": []}
    data["violations"] = [first] + [{**data["violations"][1], "expected": "x" * 10_000} for _ in range(199)]
    text = html.html(data)
    found = Page(text)
    assert len(found.all("article")) == 200
    assert len(found.ids) == len(set(found.ids))
    assert len(text) < 2_000_000
    assert "... 8995 before, 8995.0" in found.text
    assert "10000 in all" in found.text


def test_long_timeline_is_cut_around_the_difference() -> None:
    timeline = [{"update": number, "epoch": 0, "batches": [list(range(50))] * 30, "sizes": [50] * 30} for number in range(1, 501)]
    found = Page(html.html(with_violation(timeline=timeline, expected=1, observed=2, divergence="update 300, micro-batch 20")))
    assert "update 288 to 311 of 500" in found.text
    assert found.text.count("first difference") == 1
    assert len(found.pictures()) == 1


@pytest.mark.parametrize(
    "moment",
    [
        {"update": 10**400, "epoch": -(10**400)}, {"update": -1}, {"sizes": [10**400, -1]}, {"batches": [[10**400]], "sizes": [1]},
        {"losses": ["NaN", "Infinity", 1e308], "sizes": [1]}, {"learning_rate": 1e308, "gradient_norm": "-Infinity"},
        {"happened": ["log"] * 1000, "loss": "NaN"}, {"happened": ["$x^2$ \U0001f389 <b>"]}, {"batches": [None, []], "sizes": [3, 0]},
    ],
)  # fmt: skip
def test_strange_timelines(moment: dict[str, Any]) -> None:
    timeline = [{"update": 0, "epoch": 0}, {"update": 1, "epoch": 0, **moment}, {"update": 2, "epoch": 0, **moment}]
    for divergence in ("update 1", "update 2, micro-batch 1", "log 0", "epoch 0"):
        found = Page(html.html(with_violation(timeline=timeline, expected=1, observed=2, divergence=divergence)))
        assert found.mismatched == []
        assert len(found.pictures()) in {1, 2}


@pytest.mark.parametrize(
    ("expected", "observed", "pictures"),
    [
        ([1, 2.5], [1, 3], 1), ([1, "NaN"], [1, 2], 1), ([1, None], [1, 2], 1), ([1e308, 1], [1, 1], 0), ([10**400, 1], [1, 1], 0),
        ([True, False], [True, True], 0), (["a", "b"], ["a", "c"], 0), ([1], [2], 0), ([], [1, 2], 0), (1, 2, 0), (["NaN"] * 2, [1, 2], 0),
    ],
)  # fmt: skip
def test_sequences_of_numbers_are_plotted(expected: Any, observed: Any, pictures: int) -> None:
    assert len(Page(html.html(with_violation(expected=expected, observed=observed))).pictures()) == pictures


def test_pictures_use_the_colours_of_the_page() -> None:
    picture = plots.series([1.0, 2.0], [1.0, 3.0], first=1, unit="update", start=1, name="p", label="<&>").svg
    assert "#00e0" not in picture
    assert {"var(--expected)", "var(--observed)", "var(--alarm)"} <= set(re.findall(r"var\(--\w+\)", picture))
    assert 'aria-label="&lt;&amp;&gt;"' in picture
    assert "first difference" in picture


# ---- comparing ---------------------------------------------------------------------------------------------------------------


def violation(**changes: Any) -> reading.Violation:
    (made,) = reading.parse(with_violation(**changes)).violations
    return made


@pytest.mark.parametrize(
    ("expected", "observed", "divergence", "first"),
    [
        ([1, 2, 3], [1, 2, 4], "element 2", 2), ([1, 2, 3], [1, 2], "element 2", 2), ([1, 2], [1, 2, 3], "", 2), ([1, 2], [1, 2], "", None),
        ([1.0, 2.0], [1.0 + 1e-14, 3.0], "log 1", 1), ([1.0, 2.0], [1.1, 3.0], "log 1", 1), ([1, 2, 3], [1, 0, 0], "update 2", 1),
        ([0, 1], [False, 1], "", 0), ([1.0], [1.0 + 1e-14], "", 0), (["NaN"], ["NaN"], "", None), ([], [], "", None),
    ],
)  # fmt: skip
def test_first_difference(expected: Any, observed: Any, divergence: str, first: int | None) -> None:
    assert comparing.compare(violation(expected=expected, observed=observed, divergence=divergence)).first == first


@pytest.mark.parametrize(
    ("divergence", "first", "found"),
    [
        ("update 2", 1, (2, None)), ("update 2", None, (2, None)), ("update 2, micro-batch 1", None, (2, 0)),
        ("log of step 3", None, (3, None)),
        ("micro-batch 3", 3, (2, 1)), ("evaluation 1, position 4", None, (3, None)), ("log 1", 1, (2, None)),
        ("checkpoint 0", 0, (3, None)),
        ("epoch 1, position 0", None, (3, None)), ("update 9", None, None), ("update 2, micro-batch 7", None, (2, None)),
        ("row 1", 1, None),
        ("update 1, layer.weight[2]", None, (1, None)), ("", None, None), ("evaluation 7", None, None),
    ],
)  # fmt: skip
def test_place_in_the_timeline(divergence: str, first: int | None, found: tuple[int, int | None] | None) -> None:
    place = comparing.place(violation(divergence=divergence, timeline=SAMPLE["violations"][0]["timeline"]), first)
    assert (None if place is None else (place.moment, place.batch)) == found


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (list(range(13)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ... (13 in all)]"), ({"a": [1.5, None]}, "{a: [1.5, None]}"),
        ("text", "text"),
        (-(10**400), "a negative whole number of about 400 digits"), ("x" * 2000, "x" * 1500 + " ... (2000 characters in all)"),
        ([[[[[[[1]]]]]]], "[[[[[[...]]]]]]"), (True, "True"),
    ],
)  # fmt: skip
def test_show(value: Any, shown: str) -> None:
    assert comparing.show(value) == shown


# ---- reading -----------------------------------------------------------------------------------------------------------------


def changed(change: Callable[[dict[str, Any]], Any]) -> str:
    data = copy.deepcopy(SAMPLE)
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON: Expecting value"), ("{", "not JSON: "), ("[]", "a result is a JSON object, not list"), ("NaN", "NaN is not JSON"),
        ("[" * 100_000, "not JSON: "), ("{}", "it is no result of trainer-props check --json"), (b"\xff\xfe\xfa", "not JSON: "),
        ('{"format": 1, "property": "x"}', "it is no result of"),
        ('{"format": 2, "violations": []}', "format 2 is unknown: this version reads"),
        ('{"format": true, "violations": []}', "format True is unknown"), ('{"format": [1], "violations": []}', "format list is unknown"),
        (changed(lambda data: data.pop("subject")), "missing required field `subject`"),
        (changed(lambda data: data.update(runs="many")), "Expected `int`, got `str` - at `$.runs`"),
        (changed(lambda data: data["violations"][0].update(timeline=[{}])), "at `$.violations[0].timeline[0]`"),
        (changed(lambda data: data["coverage"]["models"].update(x=3)), "at `$.coverage[...]"),
        (changed(lambda data: data.update(seconds=10**400)), "seconds"),
    ],
)  # fmt: skip
def test_what_is_no_result_is_refused_in_one_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(reading.UnreadableResult) as raised:
        reading.read(path)
    text = str(raised.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "\n" not in text


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(reading.UnreadableResult, match="No such file"):
        reading.read(tmp_path / "none.json")
    with pytest.raises(reading.UnreadableResult, match="Is a directory"):
        reading.read(tmp_path)


def test_result_of_the_contract_alone_and_of_a_later_minor_version(tmp_path: Path) -> None:
    contract = {"id": "a--b", "property": "a.b", "verdict": "hung", "known_bug": None, "accepted": False, "expected": 1, "observed": 2,
                "divergence": "", "case": {"format": 1}, "shrunk": {"seconds": 1, "complete": True}, "script": None,
                "script_verified": False, "regression": None}  # fmt: skip
    data = {**EMPTY, "violations": [contract], "later": {"x": 1}}
    html.write(tmp_path / "page.html", data)
    assert "hung a.b" in Page((tmp_path / "page.html").read_text(encoding="utf-8")).text


def test_replay_command_of_an_example_in_another_folder() -> None:
    text = html.html(with_violation(regression="my examples/x.json"))
    assert "trainer-props replay &#39;my examples/x.json&#39;" in text


def test_missing_package_is_one_line_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(html.MissingExtraError, match=r"^HTML needs jinja2 and matplotlib: pip install 'trainer-props\[html\]'$"):
        html.html(SAMPLE)
