"""Phrases that negate what a report names, and phrases that only look as if they did.

Groups and scopes follow NegEx (Chapman et al., 2001, doi:10.1006/jbin.2001.1029) and ConText (Harkema et al., 2009,
doi:10.1016/j.jbi.2009.05.002); the cues are those of radiology reports.
"""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STUDIES = _words(
    "comparison comparisons ct exam examination examinations exams film films image images imaging mr mri radiograph"
    " radiographs report reports scan scans studies study x xray xrays"
)

_SEEN = (
    "(?:seen|identified|visuali[sz]ed|present|evident|noted|demonstrated|appreciated|detected|found|observed|apparent"
    "|recogni[sz]ed|visible|suspected|suggested|confirmed|depicted)"
)
_NOT = r"(?:(?:does |do |did )?not|cannot|[a-z]+n['\u2019]t)"
_END = r"(?=[^\S\n]*+(?:$|[.,;:)\n]))"
_APPEARS = "(?:appear|seem|look)(?: to (?:be|have|represent|show))?"
_HOW_SEEN = "(?: (?:appear|be|been|being|clearly|currently|definitely|otherwise|readily|seem|to)){0,3}"
_GONE = "(?:resolved|cleared|disappeared|removed|ruled out|excluded)"
_PARTLY = "(?:partial(?:ly)?|incomplete(?:ly)?|partly|largely|mostly|somewhat|near(?:-| )complete|nearly|almost)"
_CHANGE = r"(?:chang|increas|decreas|worsen|improv|progress|enlargement|growth|differ)\w*"
_OF_CHANGE = (
    "(?:significant(?:ly)?|interval|appreciabl[ey]|substantial(?:ly)?|definite|much|further|acute|obvious|overall|new"
    "|marked(?:ly)?|been|short|term)"
)
_BEFORE = "(?:on|in) (?:the |any )?(?:prior|previous|earlier|comparison|last|old)"
_EVIDENCE = (
    "(?:any|definite|definitive|convincing|obvious|clear|strong|significant|radiographic|radiologic|radiological|imaging"
    "|sonographic|ct)"
)
_SIGNS = (
    f"(?: {_EVIDENCE}){{0,3}} (?:evidence|signs?|findings?|suggestion|indications?|features?) (?:of|for"
    "|to (?:suggest|indicate|support)|suggesting|suggestive of|suspicious for|consistent with|indicative of)"
)
_OF_CONTRAST = "(?:enhanc|excret|extravasat|leak|opacif|passage|uptake|fill|pool|reflux|accumulat|stain)[a-z]*"
_NOT_GIVEN = (
    rf"(?:contrast(?! {_OF_CONTRAST})|comparisons?|priors|(?:prior|previous){_END}"
    f"|(?:prior|previous)(?: (?:chest|relevant|available)){{0,2}} (?:{'|'.join(sorted(_STUDIES))}))"
)
_NEGATIVE = "(?:free (?:of|from)|clear of|devoid of|negative for|(?:the )?absence of|lack of|absent)"

# Of words; a space is any white space. At each word the first that fits is taken.
CUES = {
    # No negation: nothing changed, something is uncertain, or two negations cancel.
    "pseudo": "|".join(
        (
            f"(?:no(?: longer)?|without|{_NOT})(?: evidence of)?(?: {_OF_CHANGE}){{0,3}} {_CHANGE}",
            f"(?:{_NOT}|unable to|difficult to)(?: (?:be|been|with certainty|[a-z]+ly)){{0,3}}"
            " (?:exclude[ds]?|rule[ds]? out)",
            "(?:should|must|needs? to|ha(?:s|ve) to|to) be (?:excluded|ruled out|removed)",
            f"(?:{_NOT}|no(?: longer)?|never|without)(?: (?:the|an|any|be|been|yet|fully|completely|entirely)){{0,2}}"
            f" (?:{_NEGATIVE}|{_GONE}|without|removal|resolution|gone|unlikely|deny|denied)",
            f"{_NOT}(?: be| as)? (?:well|completely|fully|entirely|adequately|optimally|included)(?: {_SEEN})?",
            f"{_NOT}{_HOW_SEEN} {_SEEN} (?:{_BEFORE}|earlier|previously|before(?:(?= (?:is|are|was|has|have))|{_END}))",
            f"{_PARTLY}(?: completely)? (?:resolution(?: of)?|{_GONE}|gone)",
            f"(?:(?:has|have|had) )?{_GONE} (?:in part|incompletely|largely|mostly|partially|partly)",
            "not only|not shown|with (?:and|or) without|not necessarily|not certain|no doubt|whether or not|if not",
        )
    ),
    # Negates what stands before it.
    "backward": "|".join(
        (
            f"(?:{_NOT}|no longer){_HOW_SEEN} (?:{_SEEN}|in place|likely{_END}|there(?! (?:is|are|was|were)))",
            f"(?:{_NOT}|no longer)(?: yet)? (?:(?:persist|occur|recur|re-?accumulate?)(?:r?ed|d|s)?"
            f"|(?:appear|develop|return)(?:ed)?(?:{_END}|(?= (?:after|despite|during|since))))",
            "(?:is|are|was|were|be|been|remains?)(?: (?:now|since|also|felt|considered|been|thought to be)){0,2}"
            " (?:absent|negative|excluded|ruled out|unlikely|removed)(?! (?:by|for|from|on|to))",
            f"(?:has|have)(?: (?:now|since|completely|been|otherwise)){{0,2}} {_GONE}",
            f"(?:absent|unlikely|nil|none|gone(?: away)?|{_GONE}){_END}",
            f"{_GONE}(?= (?:in the interval|since))",
        )
    ),
    # Negates the word before it.
    "suffix": "(?<=[^\\W_]-)free(?! (?:of|from|space|air|fluid|gas|survival))",
    # Negates what a study was done without, and nothing else: "CT without contrast effusion".
    "narrow": f"(?:no|without|w/o)(?: (?:any|available|relevant)){{0,2}}(?= {_NOT_GIVEN}(?![^\\W_]))",
    # Negates what stands after it.
    "forward": "(?:no(?! longer)|without|w/o|neither|nor(?: (?:is|are|was|were|does|do|did|has|have)(?: there)?)?"
    f"|never|nil|nothing (?:to (?:suggest|indicate|support)|suggest(?:ing|ive of))"
    f"|{_NOT}(?: (?:show|demonstrate|reveal|see|have|{_APPEARS}))?"
    r"|excluding|(?<!plus\s)(?<!or\s)minus(?! \d)|no longer(?: (?:shows?|demonstrates?|reveals?|ha[sd]|have))?"
    f"|resolved|den(?:y|ies|ied|ying)|lacks|lacking|{_NEGATIVE}|(?:interval )?(?:resolution|removal) of"
    f"|unlikely to (?:be|represent)|fails? to (?:show|demonstrate|reveal))(?:{_SIGNS})?",
    # Begins another clause.
    "end": "but|however|although|though|yet|except(?:ing)?|(?:apart|aside) from|other than|besides|while|whereas"
    "|despite|because|due to|secondary to|nevertheless|which|who|status post|s/p|there (?:is|are|was|were)|after|before"
    "|prior to|following|given|since|show(?:s|ed|ing)|demonstrat(?:es|ing)|reveal(?:s|ed|ing)|display(?:s|ed|ing)"
    r"|depict(?:s|ing)|(?<=contrast\s)demonstrated|(?<!consistent\s)(?<!compatible\s)(?<!associated\s)with",
    "and": "and|and/or",
    "or": "or",
    # Another clause where a comma stands before it, unless it is what the negated list is said to be: seen, identified.
    "verb": "is|are|was|were|has|have|had|remains?|appears?|seems?|may|might|can"
    "|could|would|should|will|measures?|represents|suggests|contains?|persists|extends",
    "seen": _SEEN,
}
# A line that begins with a capital, a digit or a bullet is a sentence of its own.
_MARKS = {
    "none": r"(?::|\u2014|(?<=\s)[-\u2013]+(?=\s))\s*+(?:none|absent|negative|nil|no)(?![^\W_])"
    r"(?=[^\S\n]*+(?:$|[.,;\n]))",
    "sentence": r"[.!?;](?!\d)|\n[^\S\n]*+(?=\n|[-*\u2022\d]|(?-i:[A-Z]))",
    "stop": r"[:\u2014]|(?<=\s)[-\u2013]+(?=\s)",
    "open": r"[(\[]",
    "close": r"[)\]]",
    "comma": r"[,&]",
    "word": r"[^\W_]+",
}
_WORD_CUES = "|".join(rf"(?P<{name}>(?:{cue})(?![^\W_]))".replace(" ", r"\s++") for name, cue in CUES.items())
_MARK_CUES = "|".join(f"(?P<{name}>{mark})" for name, mark in _MARKS.items())
TOKEN = re.compile(rf"(?<![^\W_])(?=[^\W_])(?:{_WORD_CUES})|{_MARK_CUES}", re.IGNORECASE)

# These negate what a verb says, so that a comma ends them: "not enlarged, stable". Others begin lists of findings.
CLAUSE_CUE = re.compile(f"{_NOT}|no longer".replace(" ", r"\s++"), re.IGNORECASE)
# Of these, the ones that negate what is said of the words before them, so that "and" ends them as well: "heart not
# enlarged and effusion".
PREDICATE_CUE = re.compile(f"(?:{_NOT}|no longer)(?: {_APPEARS})?".replace(" ", r"\s++"), re.IGNORECASE)

# Words that the full-text index leaves out anyway.
FUNCTION_WORDS = _words(
    "a an and any are as at be been being by for from had has have in is it its of on or that the their there these"
    " this those to was were with"
)
# A part of a list that begins with, or holds, one of these says what is there: "no effusion, heart size normal".
AFFIRMING_FIRST = _words(
    "a again an chronic degenerative improved improving increased mild mildly minimal moderate moderately old patchy"
    " persistent slight slightly small status tiny trace worsened worsening"
)
AFFIRMING = _words("clear intact normal stable stably unchanged unremarkable within")
# One of these at the end of a part, or "seen" before a place, says what is there: "nodule seen in the lung".
NOTED = _words("evident noted present")
PLACE = _words("at in on")
# What a study was done without, and what stands by it.
STUDY_WORDS = _STUDIES | _words(
    "agent available chest contrast for material media medium previous prior priors ray rays relevant"
)
# But "seen on this view" says nothing of where.
NOT_PLACES = _STUDIES | _words("projection projections series time view views")
DETERMINERS = _words("a an both he her his it patient she the there these they this those we")
