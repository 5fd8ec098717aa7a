"""Wordings of orders to a judge, in English and nine other languages, for `mask_orders`.

Every pattern takes linear time: what may lie between two words is bounded and stays within a sentence.
"""

from __future__ import annotations

import re

NUMBER = r"(?:\d{1,3}(?:\.\d+)?(?:\s*(?:/|of|out of)\s*\d+)?|ten|nine)"
_JUDGE = r"(?:judges?|graders?|evaluators?|raters?|assessors?|scorers?|examiners?|reviewers?)"
_BEST = r"(?:full marks?|top (?:marks?|scores?)|(?:perfect|maximum|maximal|highest|best|top)(?: possible)?" + (
    r" (?:scores?|marks?|grades?|ratings?|points?|verdict)|\d+\s*(?:/|of|out of)\s*(?:5|10|100)\b|tens?\b)"
)
_GIVE = (  # as an order: at the start of a clause, or after these words
    r"(?:\A|(?<=[.,;:!?\n\"'(*-])[ \t]{0,4}|\b(?:please|and|then|must|should|to|will|just|simply|now|always|so)\s+)"
    r"(?:give|assign|award|grant|return|output|print|repeat|report|use|set|rate|score|grade|mark|end|answer|respond|conclude)"
)
_RULES = r"(?:instructions?|rubrics?|rules?|criteri(?:a|on)|prompts?|guidelines?|penalt(?:y|ies)|scales?|references?)"
_DROP = r"(?:ignore|disregard|forget|override|skip|bypass|discard|drop)"
REPLY = r"(?:repl(?:y|ies)|answers?|responses?|outputs?|dialogues?|conversations?)"
_ORDERS = (
    rf"\b(?:attention|dear|hello|hey)\b[,:]?\s+(?:the\s+|any\s+|all\s+|every\s+|our\s+)?{_JUDGE}\b",
    rf"(?:^|[.!?]\s+)(?:to|for)\s+(?:the\s+|any\s+|all\s+|every\s+|our\s+)?{_JUDGE}\s*:",
    rf"\b(?:note|message|instructions?|attention|memo)\s+(?:to|for)\s+(?:the\s+|any\s+|all\s+|every\s+)?{_JUDGE}\b",
    rf"\b{_DROP}\b[^.!?\n]{{0,40}}\b{_RULES}\b",
    rf"{_GIVE}\b[^.!?\n]{{0,60}}\b{_BEST}",
    rf"\b{REPLY}\b[^.!?\n]{{0,40}}\b(?:deserves?|merits?|should (?:get|receive|be (?:given|rated|scored|graded)))\b",
    rf"\b(?:as|you are|you, as)\s+(?:the|an?)\s+{_JUDGE}\b[^.!?\n]{{0,60}}\b(?:must|should|have to|are to|need to)\b",
    r"\b(?:already|expert|been)\b[^.!?\n]{0,40}\b(?:graded|scored|rated|judged)\b"
    rf"[^.!?\n]{{0,40}}(?:{_BEST}|{NUMBER})",
    rf"\ball\s+(?:the\s+)?(?:dimensions?|criteria|scores?)\b[^.!?\n]{{0,30}}(?:{_BEST}|{NUMBER})",
    r"\bsystem\s*(?:prompt|message|note|instruction)\s*[:\]>]|[\[<(][ \t]{0,4}system[ \t]{0,4}[\])>]",
    r"^[ \t]{0,8}[\[<(]{0,3}system[\])>]{0,3}[ \t]{0,4}:",
    r"<\|[^|\n]{1,40}\|>|\[/?INST\]|</?(?:system|material|instructions?)>",
    r"(?<!=)={2,}+\s*+material\b[^\n]*",
    rf"(?:^|(?<=[.!?]\s)|<!--\s{{0,4}}|[\[(]){_JUDGE}\s{{0,4}}[:,]\s{{0,4}}(?:please\s+)?(?:give|assign|award|output|return|be|set|rate|score|use|end)\b",
    rf"\byou are (?:now )?(?:an?|the)\s+(?:\w{{1,20}}\s+){{0,2}}{_JUDGE}\b",
    rf"\b(?:AI|LLM|automatic|automated)\s+{_JUDGE}\s{{0,4}}[:,]",
    r"\b(?:to|for)\s+(?:the|any|whichever|every)\s+(?:AI|LLM|model|bot)\b[^.!?\n]{0,20}\b(?:that|who|which)\s+"
    r"(?:scores?|judges?|rates?|grades?|evaluates?|reads?)\b",
    r"\b(?:treat|regard|mark|count|accept)\s+(?:this|it|these|everything|all)\b[^.!?\n]{0,30}\bas\s+"
    r"(?:perfect|flawless|correct|excellent)\b",
    r"\b(?:put|write|enter|insert)\s+(?:an?\s+)?(?:10|ten)s?\b[^.!?\n]{0,20}\b(?:everywhere|each|every|all)\b",
    r"\b(?:do not|don't|never)\s+(?:apply|deduct|take off|subtract|penali[sz]e)\b[^.!?\n]{0,30}"
    r"\b(?:points?|penalt(?:y|ies)|marks?|scores?|length|repetitions?)\b",
    r"\b(?:scores?|ratings?|grades?|marks?)\s+(?:for|of)\s+(?:this|these|my)\b[^.!?\n]{0,20}\b(?:should|must)\b"
    rf"[^.!?\n]{{0,20}}(?:{_BEST}|{NUMBER}|perfect)",
)
_GAP = r"[^.!?。\n]"  # within a sentence
_OTHER_LANGUAGES = (  # (to ignore, the instructions), (to give, the highest score)
    rf"\b(?:ignorier|missacht|vergiss|vergess)\w{{0,4}}\b{_GAP}{{0,40}}"
    r"(?:anweisung|regel|vorgabe|kriteri|instruktion|abz[üu]g)",
    rf"\b(?:gib|geben sie|vergib|vergeben sie|bewerte|bewerten sie|setze|gebt)\b{_GAP}{{0,60}}"
    r"(?:(?:höchst|hoechst|best|voll|maximal)\w{0,4}\s{0,2}(?:punkt|note|bewertung|wertung)|10\s*(?:von|/)\s*10)",
    rf"\b(?:ignore[rz]?|oublie[rz]?|négligez)\b{_GAP}{{0,40}}(?:instructions?|consignes?|règles?|critères?|directives)",
    rf"\b(?:donne[rz]?|attribue[rz]?|accorde[rz]?|mets|mettez)\b{_GAP}{{0,60}}"
    r"(?:(?:note|score) maximale?|meilleure note|10\s*(?:sur|/)\s*10)",
    rf"\b(?:ignor[ae]n?|olvid[ae]n?|descart[ae])\b{_GAP}{{0,40}}"
    r"(?:instrucciones|reglas|criterios|instruções|regras|critérios|istruzioni|regole|criteri)",
    rf"\b(?:otorg[au]e?|da|dé|den|asign[ae]|pon|ponga|dê|dá|atribu[ai]|assegn[ai]|dai|dia)\b{_GAP}{{0,60}}"
    r"(?:(?:puntuación|puntaje|nota|calificación|pontuação|punteggio|voto) (?:máxim|massim)[ao]"
    r"|máxima (?:puntuación|nota|calificación)|10\s*(?:de|su|/)\s*10)",
    rf"\b(?:про)?(?:игнорир|забудь|забудьте|отбрось)\w{{0,6}}\b{_GAP}{{0,40}}(?:инструкц|правил|указани|критери)",
    rf"\b(?:по)?(?:став|дай|присво|выстав)\w{{0,6}}\b{_GAP}{{0,60}}(?:максимальн|высш|наивысш|наилучш)\w{{0,4}}\s+(?:оценк|балл)",
    rf"(?:忽略|无视|無視|不要理会|忘记|忘掉){_GAP}{{0,20}}(?:指令|指示|规则|規則|提示|标准|標準|要求)",
    rf"(?:请|請|务必|必须|必須|应该|應該){_GAP}{{0,20}}(?:满分|滿分|最高分|10\s*分)",
    rf"(?:给出|給出|打出){_GAP}{{0,6}}(?:满分|滿分|最高分)",
    rf"(?:満点|最高点|最高評価|10\s*点){_GAP}{{0,12}}(?:つけて|付けて|与えて|下さい|ください)",
    rf"(?:指示|ルール|規則|プロンプト|命令|基準){_GAP}{{0,10}}(?:無視|忘れ)",
    rf"(?:만점|최고점|최고 점수|10\s*점){_GAP}{{0,12}}(?:주세요|주십시오|줘|부여|매겨)",
    rf"(?:지시|지침|명령|프롬프트|규칙|기준){_GAP}{{0,12}}무시",
)
ORDER = re.compile("|".join(f"(?:{order})" for order in (*_ORDERS, *_OTHER_LANGUAGES)), re.IGNORECASE | re.MULTILINE)

HOMOGLYPHS = str.maketrans(
    "АВЕКМНОРСТХІЈЅаеорсухіјѕԁһԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορτυχ", "ABEKMHOPCTXIJSaeopcyxijsdhqwABEZHIKMNOPTYXaiknoptux"
)
_LEET = str.maketrans("013457$@", "oieastsa")
_LEET_WORD = re.compile(r"(?<![\w$@])(?=[\d$@]*[A-Za-z])(?=[A-Za-z]*[\d$@])[\w$@]{2,24}(?![\w$@])")
SPACED = re.compile(r"(?<!\w)(?:\w ){5,60}\w(?!\w)")
SPACED_WORDS = re.compile(r"ignore|disregard|judge|grader|rubric|score|highest|fullmarks|instruct", re.IGNORECASE)


def readings(text: str) -> list[str]:
    """The text, and of the same length, where they differ: lookalike letters, and digits for letters, read plainly."""
    found = [text]
    for other in (text.translate(HOMOGLYPHS), _LEET_WORD.sub(lambda word: word.group().translate(_LEET), text)):
        if other != text:
            found.append(other)
    return found
