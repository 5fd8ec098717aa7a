"""An endpoint as it is written on a command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from eval_tasks.models.open_model import open_model
from mmcr_bench.judge.judge_spec import read_judge_specs
from mmcr_bench.review.commands import ReviewRewrite
from mmcr_bench.select.commands import Topics
from mmcr_dataset.__main__ import main
from mmcr_dataset.endpoint.address import Endpoint, read_endpoint
from mmcr_dataset.endpoint.transport import clean_key


@pytest.mark.parametrize("prefix", ["", "api:"])
def test_read_endpoint_takes_url_model_and_options(prefix: str) -> None:
    assert read_endpoint(f"{prefix}http://a:8000/v1#org/m:tag", "--x") == Endpoint("http://a:8000/v1", "org/m:tag")
    azure = read_endpoint(f"{prefix}https://a.example#gpt?api_version=2024-10-21", "--x", max_in_flight=3)
    assert azure == Endpoint("https://a.example", "gpt", max_in_flight=3, api_version="2024-10-21")


def test_judge_at_azure_with_options_of_its_own() -> None:
    (judge,) = read_judge_specs("api:https://a.example#gpt?repeats=3&api_version=2024-10-21")
    assert judge.repeats == 3
    assert judge.endpoint() == Endpoint("https://a.example", "gpt", api_version="2024-10-21")


def sort_labels(text: str, folder: Path) -> None:
    (folder / "labels.jsonl").write_text("")
    Topics(folder, folder / "labels.jsonl", folder / "t.json", sorter=text, ledger=folder / "ledger").run()


READERS: dict[str, Callable[[str, Path], object]] = {
    "--endpoint": lambda text, folder: ReviewRewrite(folder / "r", text, folder, folder / "ledger").run(),
    "--sorter": sort_labels,
    "judge": lambda text, folder: read_judge_specs(f"api:{text}"),
    "--model": lambda text, folder: open_model(f"api:{text}", folder / "ledger"),
}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("gpt-4o", "'gpt-4o' is no http address"),
        ("ftp://a/v1#m", "'ftp://a/v1' is no http address"),
        ("http://[a/v1#m", "'http://[a/v1' is no http address"),
        ("http://a/v1", "no model is named"),
        ("http://a/v1#", "no model is named"),
        ("http://a/v1#m?colour=red", "unknown option colour (known: api_version"),
    ],
)
@pytest.mark.parametrize("place", READERS)
def test_wrong_endpoint_is_told_in_the_same_words_everywhere(place: str, text: str, wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)) as error:
        READERS[place](text, tmp_path)
    said = str(error.value)
    assert said.startswith(f"{place} ")
    assert text in said
    assert "URL#" in said
    assert "for example https://api.openai.com/v1#" in said


def test_build_tells_a_wrong_endpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--source", "demo", "--out", str(tmp_path / "set"), "--endpoint", "http://a/v1"]) == 2
    assert "--endpoint 'http://a/v1': no model is named; expected URL#MODEL" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["https://me:sk-secret@host.example/v1", "https://host.example/v1?key=sk-secret"])
def test_address_with_a_key_is_refused_without_repeating_it(url: str) -> None:
    for make in (lambda: read_endpoint(f"{url}#m", "--endpoint"), lambda: Endpoint(url, "m")):
        with pytest.raises(ValueError, match="OPENAI_API_KEY") as error:
            make()
        assert "sk-secret" not in str(error.value)


def test_key_is_stripped_and_checked() -> None:
    assert clean_key(" sk-a\r\n", "OPENAI_API_KEY") == "sk-a"
    assert clean_key("\n", "OPENAI_API_KEY") is None
    for key in ("sk-a\nX-Other: b", "sk a", "sk-ä", "sk\x00a"):
        with pytest.raises(ValueError, match="OPENAI_API_KEY") as error:
            clean_key(key, "OPENAI_API_KEY")
        assert key not in str(error.value)
