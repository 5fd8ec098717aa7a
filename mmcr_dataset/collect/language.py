"""English detection for documents (before anything is fetched or paid for) and dialogues; short texts pass."""

from __future__ import annotations

import re

CHARACTERS_READ = 4000  # prefix of a document that is tested
LATIN_SHARE_MIN = 0.7  # of a document's letters; a page may quote a name in another script
ENGLISH_SHARE_MIN = 0.05  # of a document's words; English prose has 0.3 to 0.5, lists and captions with names less
_CERTAIN_SHARE = 0.25  # prose in other languages has fewer English function words
_OTHER_SHARE_MIN = 0.2  # prose in the listed languages has more; English captions with foreign names less
_WORDS_MIN = 20  # shorter texts pass
_WORDS_MIN_UNKNOWN = 40  # shorter texts of an unlisted language pass
_LETTERS_MIN = 8

# The most common function words of each language; words shared by languages count for each.
_FUNCTION_WORDS = {
    "English": "the of and to in is that it for was on are as with they be at this have from or by not but what we "
    "you can an your which will there their if has more its were been our these also he she his her",
    "German": "der die und das den von zu mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er "
    "hat dass sie nach wird bei einer um am sind noch wie einem über so zum war haben nur oder aber vor zur",
    "French": "de la le et les des en un du une que est pour qui dans sur par plus pas au sont avec il ce ne se nous "
    "vous mais ou aux cette ses comme leur elle été ont être fait deux",
    "Spanish": "de la que el en y los del se las por un para con no una su al lo como más pero sus le ya o este sí "
    "porque esta entre cuando muy sin sobre también me hasta hay donde son",
    "Portuguese": "de que e do da em um para com não uma os no se na por mais as dos como mas ao ele das seu sua ou "
    "quando muito nos já eu também só pelo pela até isso são foi",
    "Italian": "di che e la il un a per in una mi sono ho non ma lo ha le si ti i con cosa come io questo della nel "
    "del da al dei gli alla più anche delle era ci",
    "Dutch": "de het een van en in is dat op te zijn met voor niet aan er om ook als maar dan bij nog uit door over "
    "naar heeft hebben wordt deze werd ze hij of",
    "Polish": "i w na z do nie się to jest że o jak a po ale za od przez dla są czy oraz które był może tak jego",
    "Turkish": "ve bir bu da de için ile çok olarak daha olan gibi en ne kadar sonra ise değil var o her",
    "Indonesian": "yang dan di dengan untuk pada ini dari dalam tidak akan adalah itu ke juga atau bisa saya anda",
    "Swedish": "och i att det som en på är av för med till den har de inte om ett men var jag sig från vi så kan",
}
_BY_LANGUAGE = {name: frozenset(words.split()) for name, words in _FUNCTION_WORDS.items()}


def reason_not_english(
    text: str, latin_share_min: float = LATIN_SHARE_MIN, english_share_min: float = ENGLISH_SHARE_MIN
) -> str | None:
    """Why a text is not English, None if it passes.

    Args:
        text: the text.
        latin_share_min: minimum share of Latin letters among the letters.
        english_share_min: minimum share of English function words among the words.

    Example: `"Der Hund und die Katze sind in dem Haus, aber der Vogel ist nicht da."` -> `"reads as German: ..."`
    """
    letters = [character for character in text if character.isalpha()]
    if len(letters) < _LETTERS_MIN:
        return None
    latin = sum(character < "\u0250" for character in letters) / len(letters)
    if latin < latin_share_min:
        return f"{latin:.0%} of the letters are Latin, expected at least {latin_share_min:.0%}"
    words = re.findall(r"[^\W\d_]{2,}", text.lower())
    if len(words) < _WORDS_MIN:
        return None
    english = sum(word in _BY_LANGUAGE["English"] for word in words) / len(words)
    if english >= _CERTAIN_SHARE:
        return None
    shares = {name: sum(word in known for word in words) / len(words) for name, known in _BY_LANGUAGE.items()}
    likeliest = max(shares, key=lambda name: shares[name])
    if shares[likeliest] >= max(_OTHER_SHARE_MIN, 1.5 * english):
        return f"reads as {likeliest}: {shares[likeliest]:.0%} of its function words, {english:.0%} of English's"
    if len(words) >= _WORDS_MIN_UNKNOWN and english < english_share_min:
        return f"{english:.0%} English function words, expected at least {english_share_min:.0%}"
    return None
