"""Wordings of a rating that a reply gives itself, for `mask_orders`: points, letter grades, stars.

Most stand at the start of a line or sentence: "The sign shows ★★★★" is about an image. None is masked where a question
or a reference speaks of such a rating. Every pattern takes linear time.
"""

from __future__ import annotations

import re

from mmcr_bench.judge.order_patterns import REPLY

_FLAGS = re.IGNORECASE | re.MULTILINE
_BEGIN = (
    r"(?:^|(?<=[.!?]\s))[ \t]{0,4}(?:(?:so|overall|thus|honestly|therefore|my (?:verdict|view|opinion))[:, ]{1,2})?"
)
_I_GIVE = rf"{_BEGIN}(?:I|we)(?:'d|'ll| would| will)?\s+(?:\w{{1,10}}\s+)?(?:give|rate|score|grade|award)\b"
_POINTS = re.compile(
    rf"{_I_GIVE}[^.!?\n]{{0,40}}?"
    rf"(?:\b\d{{1,2}}(?:\.\d)?\s*(?:/|of|out of)\s*10\b|\b{REPLY}\b[^.!?\n]{{0,20}}\b(?:10|ten|nine)\b)"
    rf"|{_BEGIN}my\s+(?:own\s+)?(?:rating|score|verdict|grade|evaluation)\b[^.!?\n]{{0,20}}\b(?:\d{{1,2}}|ten|nine)\b"
    rf"|{_BEGIN}(?:verdict|rating)\s*:\s*\d{{1,2}}(?:\s*/\s*10)?(?=\s*(?:[.!\n]|\Z))"
    r"|\[\[\d{1,2}(?:\.\d)?\]\]",
    _FLAGS,
)
_ASKS_POINTS = r"\b(?:rat(?:e|es|ed|ing)|scor(?:e|es|ed|ing)|grad(?:e|es|ed|ing)|out of (?:10|ten))\b|/\s*10\b"

# words of grading, in the languages of `order_patterns`
_CLEAR = (
    r"(?:gesamt|end|schluss)note|(?:gesamt)?(?:be)?wertung|évaluation|appréciation|calificación|puntuación|valoración"
    r"|evaluación|classificação|avaliação|pontuação|valutazione|punteggio|giudizio|оценка|балл|рейтинг|评分|評分|评级"
    r"|評級|等级|等級|成绩|成績|得分|评价|評價|評価|評点|採点|評定|등급|평가|점수|학점|성적|평점|별점"
)
_GRADE = rf"(?:grades?|ratings?|scores?|marks?|verdict|evaluation|assessment|note|nota|voto|{_CLEAR})"
_ASKS_GRADE = rf"{_ASKS_POINTS}|оценк|{_CLEAR}|\b(?:welche|quelle(?: est la)?|qu[ée]|che|quale)\s(?:note|nota|voto)\b"
_BEFORE = (
    r"(?:(?:my|the|this|overall|final|total|own|meine?|ma|mi|minha|il|la|итоговая|общая|моя)[ _-]){1,3}"
    r"|(?:最终|最終|总体|總體|总|總|综合|綜合|総合|최종|종합|전체)[ ]?"
)
_AFTER = r"[ _-](?:finale?|globale?|générale?|totale?|geral|complessiv[ao])"
_START = r"(?:^|(?<=[.!?]\s)|(?<=[。!?]))[ \t]{0,4}"
_LABEL = (  # `**Final grade:** `, `- Note finale : `, `{"grade": "`, `<grade>`, `| Grade | `
    rf"{_START}(?:[>#*•-]{{1,6}}[ \t])?[*_\"'`(\[{{<|]{{0,3}}[ \t]?(?:{_BEFORE})?{_GRADE}(?:{_AFTER})?[*_\"'`]{{0,3}}"
    r"[ \t]{0,2}(?:->|[:=>|–—-]|\b(?:is|ist|est|es|é|è)\b)[*_\"'`(\[]{0,3}[ \t]{0,2}[*_\"'`(\[]{0,3}(?:an?[ \t])?"
)
_END = r"(?=[*_\"'`)\]}|]{0,3}[ \t]{0,4}(?:[.!?。;\n<|]|\Z))"
_SIGNED = r"[A-FАВСЕ](?:[ \t]?(?:plus|minus)\b|[+*−–-]{1,2}(?!\w))"  # Latin and Cyrillic letters
_LETTER = rf"(?:{_SIGNED}|[A-FАВСЕ]{_END})"
_REPLY_GETS = rf"\b(?:this|my|the above)[ \t]{REPLY}[ \t](?:gets|earns|receives|scores|is worth)[ \t](?:an?[ \t])?"
_LETTERS = re.compile(
    rf"{_LABEL}{_LETTER}|{_REPLY_GETS}{_LETTER}|\ban?[ \t]A\+[ \t](?:\w{{1,12}}[ \t])?{REPLY}\b"
    rf"|{_I_GIVE}[^.!?\n]{{0,40}}?\ban?[ \t]{_SIGNED}|{_I_GIVE}[^.!?\n]{{0,20}}?\b{REPLY}[ \t](?:an?[ \t])?{_LETTER}"
    rf"|{_START}[*_]{{0,3}}(?:overall|final|total)[*_]{{0,3}}:[*_]{{0,3}}[ \t]?{_SIGNED}",
    _FLAGS,
)

_STAR = "[★☆⭐🌟✩✪✫✬✭✮✯✰⭑⭒💯👍]\ufe0f?"
_ROW = rf"{_STAR}(?:[ \t]?{_STAR}){{2,}}+"
_COUNT = r"(?:\d{1,2}(?:[.,]\d)?|one|two|three|four|five|fünf|cinq|cinco|cinque|пять)"
_OF = r"[ \t]?(?:/|out of|of|von|sur|de|su|из)[ \t]?"
_WORD = r"(?:stars?|sternen?|étoiles?|estrell?as?|stelle|зв[её]зд\w{0,2}|[★⭐]\ufe0f?)"
_STARS = rf"{_COUNT}[ \t-]?{_WORD}"
_OF_STARS = (
    rf"(?:{_STARS}{_OF}{_COUNT}|{_COUNT}{_OF}{_STARS}|[五5][ ]?[颗顆]?星|五つ星|星[ ]?[5五]つ|별[ ]?(?:5|다섯)[ ]?개)"
)
_RATED = rf"(?:{_ROW}|{_OF_STARS}|{_STARS}|{_COUNT}{_OF}5\b|\*{{3,10}}{_END})"
_IN_STARS = re.compile(
    rf"{_LABEL}{_RATED}|{_REPLY_GETS}{_RATED}|{_I_GIVE}[^.!?\n]{{0,40}}?(?:{_ROW}|{_OF_STARS})"
    rf"|{_I_GIVE}[^.!?\n]{{0,20}}?\b{REPLY}[ \t](?:an?[ \t])?{_STARS}"
    rf"|\ba[ \t](?:5|five)[ -]stars?[ \t](?:\w{{1,12}}[ \t])?{REPLY}\b"
    rf"|{_START}[*_]{{0,3}}(?:{_ROW}(?:[ \t]?\({_COUNT}{_OF}5)?|\(?{_OF_STARS}){_END}",
    _FLAGS,
)
# a rating out of five begins a line: only the stars are masked, not the sentence after them
ROW_OF_STARS = re.compile(rf"{_START}(?:{_STAR}[ \t]?){{5}}+(?!{_STAR})", re.MULTILINE)
ASKS_STARS = re.compile(rf"{_ASKS_GRADE}|{_WORD}|{_STAR}|星|별", re.IGNORECASE)

# a rating of the reply by itself, and what a question says that asks for such a rating
SELF_RATINGS = (
    (_POINTS, re.compile(_ASKS_POINTS, re.IGNORECASE)),
    (_LETTERS, re.compile(_ASKS_GRADE, re.IGNORECASE)),
    (_IN_STARS, ASKS_STARS),
)
