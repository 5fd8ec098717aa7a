"""A made-up wiki in MediaWiki's true XML form, with painted images: for demos, tests and benchmarks with known topics.

Besides the articles of `made_topics.TOPICS` it has what a real wiki has: a redirect, an article without an image, a
file that is missing, one that names no licence, one under an exception, and a talk page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from xml.sax.saxutils import escape, quoteattr

from PIL import Image, ImageDraw

from mmcr_dataset.mmdu.made_topics import TOPICS, Topic

BASE = "https://wiki.example/wiki/Main_Page"
TOPICS_NAME = "topics.json"  # file name -> topic, beside the export
_SIZE = (200, 150)  # pixels
_LICENCES = ("{{self|cc-by-sa-4.0}}", "{{cc-by-2.0}}", "{{cc-zero}}", "{{PD-self}}")
_AUTHORS = ("Ada Brandt", "Joris Vale", "Mina Okoro", "Tess Lindqvist")
_FIRST = (
    "Alder",
    "Brack",
    "Corvin",
    "Dunmore",
    "Elsing",
    "Farrow",
    "Gorse",
    "Hollin",
    "Iver",
    "Jarrow",
    "Kestrel",
    "Lorn",
)
_SECOND = ("ness", "ford", "wick", "holm", "dale", "mere", "stead", "haven", "moor", "field")
_PLACES = ("the north coast", "the old town", "the eastern hills", "the lower valley", "the outer islands")
_HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://www.mediawiki.org/xml/export-0.11/ http://www.mediawiki.org/xml/export-0.11.xsd" \
version="0.11" xml:lang="en">
  <siteinfo>
    <sitename>Made-up Wiki</sitename>
    <dbname>madewiki</dbname>
    <base>{base}</base>
    <generator>MediaWiki 1.43.0</generator>
    <case>first-letter</case>
    <namespaces>
      <namespace key="0" case="first-letter" />
      <namespace key="1" case="first-letter">Talk</namespace>
      <namespace key="6" case="first-letter">File</namespace>
      <namespace key="10" case="first-letter">Template</namespace>
      <namespace key="14" case="first-letter">Category</namespace>
    </namespaces>
  </siteinfo>
"""


def write_made_wiki(folder: Path, num_pages: int = 200, seed: int = 0) -> int:
    """Write the wiki; returns its number of images.

    Args:
        folder: gets wiki.xml, images/ and topics.json.
        num_pages: number of articles.
        seed: of names, sentences and images.

    Raises:
        ValueError: the folder exists, or there are fewer articles than topics.
    """
    if folder.exists():
        raise ValueError(f"{folder}: exists; name a new folder")
    if num_pages < len(TOPICS):
        raise ValueError(f"--pages {num_pages}: expected at least {len(TOPICS)}, one for each topic")
    random = Random(seed)  # noqa: S311  (no secret)
    (folder / "images").mkdir(parents=True)
    topics: dict[str, str] = {}
    pages = [page for number in range(num_pages) for page in _article(folder, number, random, topics)]
    pages += _oddities(folder, random)
    with (folder / "wiki.xml").open("w", encoding="utf-8") as file:
        file.write(_HEAD.format(base=BASE))
        for number, (namespace, title, text) in enumerate(pages, start=1):
            file.write(_show_page(number, namespace, title, text))
        file.write("</mediawiki>\n")
    (folder / TOPICS_NAME).write_text(json.dumps(topics, indent=1) + "\n", encoding="utf-8")
    return len(list((folder / "images").iterdir()))


def _article(folder: Path, number: int, random: Random, topics: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    """An article with one to three images, and the pages of its files."""
    topic = TOPICS[number % len(TOPICS)]
    place = f"{random.choice(_FIRST)}{random.choice(_SECOND)}"
    title = f"{place} {topic.noun} {number + 1}"
    files = []
    for image in range(1, 2 + (number // len(TOPICS)) % 3):
        name = f"{title.replace(' ', '_')}_{image}.png"
        _paint(topic, random).save(folder / "images" / name)
        topics[name] = topic.plural
        files.append(name)
        yield 6, f"File:{name.replace('_', ' ')}", _file_page(f"View {image} of {title}", random)
    yield 0, title, _wikitext(topic, title, place, files, random)


def _paint(topic: Topic, random: Random) -> Image.Image:
    width, height = _SIZE
    image = Image.new("RGB", _SIZE, topic.sky)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, int(height * random.uniform(0.6, 0.75)), width, height), fill=topic.ground)
    topic.paint(draw, random, width, height)
    for _ in range(60):  # texture, so that no two images are near-duplicates
        x, y, size = random.randrange(width), random.randrange(height), random.randint(1, 7)
        draw.ellipse((x, y, x + size, y + size), fill=tuple(random.randint(0, 255) for _ in range(3)))
    return image


def _wikitext(topic: Topic, title: str, place: str, files: list[str], random: Random) -> str:
    year, size, where = random.randint(1650, 1990), random.randint(3, 90), random.choice(_PLACES)
    parts, act = random.sample(topic.parts, 2), random.choice(topic.acts)
    first, rest = files[0], files[1:]
    text = (
        f"{{{{Infobox {topic.noun}\n| name = {title}\n| image = {first}\n| caption = The {topic.noun} at {place}, seen "
        f"beside {topic.scene}\n| year = {year}\n}}}}\n"
        f"'''{title}''' is a [[{topic.noun}]] of [[{place}|the district of {place}]] on {where}. It {act} and has been "
        f"known since {year}.<ref>Register of {place}, p. {size}.</ref>\n\n"
        f"== Description ==\nThe {parts[0]} of {title} measures {size} units, and its {parts[1]} was described in "
        f"{year + random.randint(1, 30)}. Around it lies {topic.scene}.\n\n"
    )
    if rest:
        text += (
            f"[[File:{rest[0]}|thumb|left|200px|alt=A {topic.noun}|The {parts[1]} of the {topic.noun} at ''{place}'', "
            f"number {size}]]\n"
            f"Visitors of {place} come for the {parts[1]} in the month of {random.choice(_MONTHS)}.\n\n"
        )
    if rest[1:]:
        text += f"<gallery>\nFile:{rest[1]}|A wide view of {title} with {topic.scene}\n</gallery>\n\n"
    return (
        text
        + f"== References ==\n<references />\n\n[[Category:{topic.plural}]]\n[[Category:{topic.plural} of {place}]]\n"
    )


_MONTHS = ("March", "May", "July", "September")


def _file_page(description: str, random: Random, licence: str | None = None) -> str:
    chosen = random.choice(_LICENCES) if licence is None else licence
    return (
        f"== {{{{int:filedesc}}}} ==\n{{{{Information\n|description={{{{en|1={description}}}}}\n|date=2024-05-01\n"
        f"|source={{{{own}}}}\n|author=[[User:{random.choice(_AUTHORS)}]]\n}}}}\n\n"
        f"== {{{{int:license-header}}}} ==\n{chosen}\n"
    )


def _oddities(folder: Path, random: Random) -> list[tuple[int, str, str]]:
    """Pages as they occur in every wiki, of which no entry must come, or one with a reason."""
    topic = TOPICS[0]
    for name in ("Fair_use.png", "No_licence.png"):
        _paint(topic, random).save(folder / "images" / name)
    return [
        (6, "File:Fair use.png", _file_page("A poster", random, "{{Non-free poster}}")),
        (6, "File:No licence.png", _file_page("A find", random, "")),
        (
            0,
            "Odd one",
            "A page that shows [[File:Fair use.png|thumb|A poster]] and [[File:No licence.png|thumb|A find]] "
            "and [[File:Missing.png|thumb|A file that nobody has uploaded]].\n[[Category:Odd pages]]",
        ),
        (0, "Lighthouse keepers", "Keepers of lighthouses are paid by the district.\n[[Category:Lighthouses]]"),
        (0, "Keepers", "#REDIRECT [[Lighthouse keepers]]"),
        (1, "Talk:Odd one", "Does anybody know who painted it? [[File:Fair use.png|thumb]]"),
    ]


def _show_page(number: int, namespace: int, title: str, text: str) -> str:
    redirect = text.partition("[[")[2].partition("]]")[0] if text.startswith("#REDIRECT") else None
    to = "" if redirect is None else f"    <redirect title={quoteattr(redirect)} />\n"
    size = len(text.encode())
    return (
        f"  <page>\n    <title>{escape(title)}</title>\n    <ns>{namespace}</ns>\n    <id>{number}</id>\n{to}"
        f"    <revision>\n      <id>{1000 + number}</id>\n      <timestamp>2024-05-02T10:00:00Z</timestamp>\n"
        "      <contributor>\n        <username>Maker</username>\n        <id>1</id>\n      </contributor>\n"
        f"      <origin>{1000 + number}</origin>\n      <model>wikitext</model>\n      <format>text/x-wiki</format>\n"
        f'      <text bytes="{size}" sha1="" xml:space="preserve">{escape(text)}</text>\n'
        "      <sha1></sha1>\n    </revision>\n  </page>\n"
    )
