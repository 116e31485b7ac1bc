"""What a reader should know of a word at once: that it is a function word, a number, a piece of markup.

The lists are of English; a word of another language has no mark of them, and nothing else depends on them.
"""

from __future__ import annotations

from ig_worker.insight.findings.corpus import Corpus

FUNCTION_WORD, NAME, NUMBER, MARKUP, PUNCTUATION = "function word", "name", "number", "markup", "punctuation"
SPECIAL_TOKEN, NEGATION = "special token", "negation"

FUNCTION_WORDS = frozenset(
    # articles and determiners
    "a an the this that these those each every either neither some any no all both half such what which whose another "
    "other much many more most few fewer less least several enough own same "
    # pronouns
    "i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers "
    "herself it its itself they them their theirs themselves one ones who whom whoever whatever somebody someone "
    "something anybody anyone anything nobody nothing everybody everyone everything "
    # prepositions
    "about above across after against along among around as at before behind below beneath beside besides between "
    "beyond by despite down during except for from in inside into like near of off on onto out outside over past per "
    "since through throughout till to toward towards under until up upon via with within without "
    # conjunctions
    "and but or nor so yet because although though while whereas if unless than whether when whenever where wherever "
    "how why "
    # auxiliaries, and what is left of them where an apostrophe is a word by itself
    "am is are was were be been being do does did doing have has had having will would shall should can could may "
    "might must ought s t d ll m re ve don didn doesn isn wasn aren weren won wouldn couldn shouldn hasn haven hadn "
    # adverbs of a closed class
    "not there here then just also too very only even again once".split()
)
NEGATORS = frozenset(
    "not no never nor neither none nobody nothing nowhere hardly barely scarcely without cannot lack lacks lacking "
    "t nt don't doesn't didn't isn't wasn't aren't weren't won't wouldn't can't couldn't shouldn't hasn't haven't "
    "hadn't n't cant dont didnt doesnt isnt wasnt".split()
)
_MARKUP = frozenset(
    "br hr div span href src http https www html htm nbsp amp quot lt gt img td tr th li ul ol em strong h1 h2 h3 css "
    "javascript url utm rel nofollow".split()
)


def marks_of(term: str, corpus: Corpus) -> list[str]:
    """Marks of a word.

    A name is a word with a capital that is in more texts than the same word without one: a sentence begins with any
    word, and the corpus does not say which. Where tokens have no capitals there are no names.
    """
    lower = term.lower()
    if not any(character.isalnum() for character in term):
        return [PUNCTUATION]
    if lower in _MARKUP:
        return [MARKUP]
    if any(character.isdigit() for character in term):
        return [NUMBER]
    if lower in FUNCTION_WORDS:
        return [FUNCTION_WORD]
    return [NAME] if term[0].isupper() and _seldom_small(term, corpus) else []


def _seldom_small(term: str, corpus: Corpus) -> bool:
    numbers, documents = corpus.term_numbers, corpus.documents
    small = numbers.get(term.lower())
    return small is None or bool(documents[small] < documents[numbers[term]])
