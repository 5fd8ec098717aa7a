"""Judge specs of the command line: `offline`, one endpoint, or a panel of several."""

from __future__ import annotations

from dataclasses import dataclass

from mmcr_dataset.endpoint.address import Endpoint, read_endpoint_and_options

PROMPTS = ("ours", "paper")


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """One judge at an endpoint.

    Attributes:
        base_url: base URL of the endpoint.
        model: model name at the endpoint.
        repeats: number of judgements per dialogue, averaged.
        temperature: None for the endpoint's default, which some models require.
        images: True sends the images too; the paper's judge reads text only.
        prompt: `ours`, or `paper` for structure and scale of the paper's Figure 8.
        api_version: API version, for Azure.
    """

    base_url: str
    model: str
    repeats: int = 1
    temperature: float | None = 0.0
    images: bool = False
    api_version: str | None = None
    prompt: str = "ours"

    def endpoint(self) -> Endpoint:
        """The endpoint of this judge."""
        return Endpoint(self.base_url, self.model, api_version=self.api_version)


def read_judge_specs(spec: str) -> list[JudgeSpec]:
    """Parse a judge spec; an empty list for `offline`.

    Example: `"api:http://a/v1#m?repeats=3,api:http://b/v1#n"` -> two judges, the first with three repeats

    Raises:
        ValueError: the spec names no judge.
    """
    if spec == "offline":
        return []
    return [_read_one(part, spec) for part in spec.removeprefix("api:").split(",api:")]


def _read_one(part: str, spec: str) -> JudgeSpec:
    form = "offline, or api:URL#MODEL with ?repeats=N, ?temperature=T, ?images=yes or ?prompt=paper, or a panel"
    endpoint, options = read_endpoint_and_options(part, "judge", form, ("repeats", "temperature", "images", "prompt"))
    try:
        repeats = int(options.get("repeats", "1"))
        given = options.get("temperature", "0" if repeats == 1 else "1")  # at 0 the repeats would be identical
        temperature = None if given == "none" else float(given)
    except ValueError as error:
        raise ValueError(f"judge {spec!r}: repeats and temperature must be numbers ({error})") from error
    images = options.get("images", "no")
    if repeats < 1 or images not in ("yes", "no") or (temperature is not None and not 0 <= temperature <= 2):
        raise ValueError(f"judge {spec!r}: expected repeats of 1 or more, temperature 0 to 2 or none, images yes or no")
    prompt = options.get("prompt", "ours")
    if prompt not in PROMPTS:
        raise ValueError(f"judge {spec!r}: prompt {prompt!r}, expected {' or '.join(PROMPTS)}")
    sees_images = images == "yes"
    return JudgeSpec(endpoint.base_url, endpoint.model, repeats, temperature, sees_images, endpoint.api_version, prompt)


def with_prompt(spec: str, prompt: str | None) -> str:
    """The spec with `--judge_prompt` in every judge that names no prompt of its own.

    Raises:
        ValueError: there is no such prompt, or the judge has none.
    """
    if prompt is None:
        return spec
    if prompt not in PROMPTS:
        raise ValueError(f"--judge_prompt {prompt!r}: expected {' or '.join(PROMPTS)}")
    if spec == "offline":
        raise ValueError(f"--judge_prompt {prompt}: the offline judge has no prompt; name --judge api:URL#MODEL")
    parts = spec.removeprefix("api:").split(",api:")
    return "api:" + ",api:".join(
        part if "prompt=" in part else f"{part}{'&' if '?' in part else '?'}prompt={prompt}" for part in parts
    )
