"""What a message to the built-in assistant wants: patterns, from the particular to the general.

Duty: `understand`: the wish that a text speaks, one value for each kind.
Must not know: state, whether the wish can be fulfilled, how the answer is worded.

1. Total: any text gives a wish; what no pattern knows is `Unclear`.
2. Words of the message are only ever copied into a wish as data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from msgspec import Struct

from protocol import quickadd, times
from server.assistant.wishes import (
    Add,
    AskHelp,
    AskWho,
    Delete,
    Greet,
    KeepInMind,
    ListTasks,
    Mark,
    PlanDay,
    Recall,
    Summarise,
    Thank,
    Unclear,
    WhatIsDue,
    WhatIsLate,
    WhatNext,
    Wish,
)


def understand(text: str, *, now: str, zone: str) -> Wish:
    """The wish of `text`, said at the instant `now` in a zone."""
    # Runs of blanks mean nothing, and cost patterns much.
    text = _BLANKS.sub(lambda run: "\n" if "\n" in run[0] else " ", text.strip())
    text = _COURTESY_BEHIND.sub("", _MENTION_BEHIND.sub("", text))
    preamble = _PREAMBLE.match(text)
    if preamble is not None:
        # “could you add milk?” asks no question.
        text = text[preamble.end() :].strip()
        text = text.removesuffix("?") if "you" in preamble[0].lower() else text
    asked = _Asked(now, zone)
    for pattern, wish in _WISHES:
        match = pattern.match(text)
        if match is not None:
            understood = wish(match, asked)
            if understood is not None:
                return understood
    return Unclear(looks_like_task=bool(quickadd.parse(text, now=now, zone=zone).spans))


class _Asked(Struct, frozen=True):
    """When and where something was asked."""

    now: str
    zone: str

    @property
    def today(self) -> date:
        return times.local(self.now, self.zone).date()

    def date_in(self, words: str) -> date | None:
        """The date that some words name."""
        due = quickadd.parse(f"x {words}", now=self.now, zone=self.zone).due
        if due is None:
            return None
        return times.parse_date(due) or times.local(due, self.zone).date()


def _said(*phrases: str) -> re.Pattern[str]:
    """A pattern that a whole message matches: a blank stands for any blanks, brackets only group."""
    phrase = "|".join(phrases).replace(" ", r"\s+")
    return re.compile(rf"(?:{_GROUP.sub('(?:', phrase)})\W*\Z", re.IGNORECASE | re.DOTALL)


_GROUP: Final = re.compile(r"\((?!\?)")
_PREAMBLE: Final = re.compile(
    r"\A(?:@assistant[,:]?\s*|assistant[,:]\s*|(?:hey|hi|hello|ok|okay|so)[,\s]\s*(?=\S+\s+\S)"
    r"|please,?\s+|kindly\s+|let'?s\s+|(?:can|could|would|will)\s+you\s+(?:please\s+|kindly\s+)?"
    r"|i(?:'d|\s+would)\s+like\s+(?:you\s+)?to\s+|i\s+want\s+(?:you\s+)?to\s+)+",
    re.IGNORECASE,
)
_BULLET: Final = re.compile(r"\s*(?:[-*•+]\s+|\d{1,3}[.)]\s+)?(?:\[[ xX]?\]\s+)?")
_TO_MY_LIST: Final = re.compile(
    r"\s+(?:to|on)\s+(?:my|the|our)\s+(?:(?:to-?do|task)\s+)?(?:list|tasks|to-?dos)[.!]?\s*\Z", re.IGNORECASE
)
_MENTION_BEHIND: Final = re.compile(r"\s@assistant\b[.,!?]{0,3}\Z", re.IGNORECASE)
_COURTESY_BEHIND: Final = re.compile(
    r"(?:[,.]?\s+(?:please|pls|plz)|[,.!]\s*(?:thanks|thank\s+you|thx|cheers))+(?P<end>[.!?\s]{0,5})\Z",
    re.IGNORECASE,
)
_BLANKS: Final = re.compile(r"\s{2,}")
_LINES_MAX: Final = 200


def _rest(match: re.Match[str]) -> str:
    """What a pattern left open, whichever of its phrases it was."""
    groups = match.groupdict()
    return (groups.get("rest") or groups.get("rest2") or groups.get("rest3") or "").strip(" \t.!?")


def _add(match: re.Match[str], _: _Asked) -> Wish | None:
    lines = []
    for line in match["rest"].splitlines()[:_LINES_MAX]:
        line = _BULLET.sub("", line, count=1)
        again = _ADD.match(line)
        line = _TO_MY_LIST.sub("", again["rest"] if again else line).strip()
        if line:
            lines.append(line)
    return Add(tuple(lines), reminding=match["remind"] is not None) if lines else None


def _mark(status: str) -> Callable[[re.Match[str], _Asked], Wish | None]:
    def mark(match: re.Match[str], _: _Asked) -> Wish | None:
        names = []
        for line in _rest(match).splitlines():
            again = _DONE.match(line.strip())
            name = _BULLET.sub("", again["rest"] if again else line, count=1).strip(" \t.!\"'“”")
            if name:
                names.append(name)
        return Mark(tuple(names), status) if names else None

    return mark


def _plan(match: re.Match[str], asked: _Asked) -> Wish | None:
    words = _rest(match)
    if not words or _WHOLE_DAY.fullmatch(words):
        return PlanDay(asked.today.isoformat())
    found = asked.date_in(_DAY_WORD.sub("", words))
    return PlanDay(found.isoformat()) if found else None


def _due(match: re.Match[str], asked: _Asked) -> Wish | None:
    words = _rest(match).lower()
    today = asked.today
    period = _period(words, today)
    if period is not None:
        return WhatIsDue(period[0].isoformat(), period[1].isoformat(), late=period[0] == today)
    if not words or words in ("next", "soon", "now"):
        return WhatIsDue(today.isoformat(), (today + timedelta(days=7)).isoformat(), late=True)
    found = asked.date_in(words)
    return WhatIsDue(found.isoformat(), found.isoformat(), late=found == today) if found else None


def _summarise(match: re.Match[str], asked: _Asked) -> Wish | None:
    words = _rest(match).lower()
    today = asked.today
    if "yesterday" in words:
        first = last = today - timedelta(days=1)
        if "since" in words:
            last = today
    elif "week" in words:
        first, last = today - timedelta(days=6), today
    else:
        first = last = today
    return Summarise(first.isoformat(), last.isoformat())


def _period(words: str, today: date) -> tuple[date, date] | None:
    monday = today - timedelta(days=today.weekday())
    if words == "today":
        return today, today
    if words in ("this week", "the week"):
        return today, monday + timedelta(days=6)
    if words == "next week":
        return monday + timedelta(days=7), monday + timedelta(days=13)
    return None


_TASK: Final = "((an?|another|the|these|the following|my) )?(new )?(tasks?|to-?dos?|items?)\\b"
_ADD: Final = _said(
    rf"(add\b|(create|make|new) (?={_TASK})|(to-?do|task)s?\s*:|remember to\b"
    rf"|(?P<remind>remind me (to|about|of))\b|(i (need|have)|don'?t( let me)? forget) to\b)"
    rf"\s*:?\s*({_TASK}\s*(:|to\b|called\b|named\b)?\s*)?(?P<rest>.+)"
)
_DONE: Final = _said(
    "(done|completed?|finish(ed)?|close|(check|tick) off|i'?m done"
    "|i( have|'ve)? (did|done|finished|completed))( with)?(\\s*:| )\\s*(the task )?(?P<rest>.+)"
)
_IS_DONE: Final = _said(
    "mark (?P<rest>.{1,500}?)( as)? (done|completed?|finished)",
    "(?P<rest2>[^\\n]{1,200}?) (is|are) (done|completed?|finished)",
)
_BEGUN: Final = _said("(start|begin|i'?m (on|doing|working on))( with)? (?P<rest>[^\\n]+?)")
_WHOLE_DAY: Final = re.compile(
    r"(for\s+)?((my|the|our|this|me)\s+)?((day|today)(\s+(for\s+(me|us|today)|today|now|again))*|now|again|me)",
    re.IGNORECASE,
)
_DAY_WORD: Final = re.compile(r"\b(?:for|my|the|our|day(?!\s+after))\b", re.IGNORECASE)
_WHAT: Final = (
    "((what('?s| is| are| tasks are| do i have)?|which tasks?( is| are)?|is|are|anything|show( me)?) )?"
)

_Reader = Callable[[re.Match[str], _Asked], Wish | None]
_WISHES: Final[tuple[tuple[re.Pattern[str], _Reader], ...]] = (
    (
        _said(
            "(hi|hello|hey|hallo|moin|howdy|good (morning|afternoon|evening))\\b(\\W{1,3}(there|assistant))?"
        ),
        lambda _, __: Greet(),
    ),
    (_said("((many )?thanks|thank you|thx|cheers)\\b.{0,40}"), lambda _, __: Thank()),
    (
        _said(
            "(who are you|what are you|(what|which) model)\\b.{0,40}",
            "are you (an? )?(ai|bot|robot|human|person|real|model|llm|machine)\\b.{0,40}",
        ),
        lambda _, __: AskWho(),
    ),
    (
        _said("help( me)?", "what can (you|i) (do|say|ask).*", "how does this work", "\\?"),
        lambda _, __: AskHelp(),
    ),
    (_ADD, _add),
    (
        _said(
            "(note(?=\\s*:| that\\b)|remember|keep in mind|don't forget|memori[sz]e)"
            "(\\s*:| that\\b| )\\s*(?P<rest>.+)"
        ),
        lambda match, _: KeepInMind(match["rest"]),
    ),
    (
        _said(
            "what (do|did|can) (you|i) (remember|know|recall|tell you|told you)\\b"
            "( (about|of|on))?(?P<rest>.*)",
            "(do you (remember|know|recall)|recall)\\b( (about|of|on|that))?(?P<rest2>.*)",
            "(what'?s( is)? in|show( me)?|list)( (your|the|my))? memor(y|ies)( about)?(?P<rest3>.*)",
        ),
        lambda match, _: Recall(_rest(match)),
    ),
    (
        _said(
            "(re)?plan\\b(?P<rest>.{0,60}?)",
            "(make|create|give me|i need) (an?|the|my) plan\\b(?P<rest2>.{0,60}?)",
        ),
        _plan,
    ),
    (
        _said("what (should|shall|can|do|must) i (do|start|work)\\b.{0,40}", "what('?s| is)? next"),
        lambda _, __: WhatNext(),
    ),
    (_said(f"{_WHAT}(already )?(late|overdue)"), lambda _, __: WhatIsLate()),
    (
        _said(
            f"{_WHAT}due\\b(?P<rest>.{{0,60}}?)",
            "what('?s| is| do i have| have i got)( on| planned| up)?( for)?"
            " (?P<rest2>today|tomorrow|(this|next) week|on \\w+day)",
        ),
        _due,
    ),
    (
        _said(
            "((list|show|what are|what'?s|which are|give me) )?(me )?(all )?(of )?((my|the|our|all) )?"
            "(open )?(tasks|to-?dos|(to-?do |task )?list|everything)\\b(.{0,20}#(?P<tag>[\\w/-]+))?",
            "(list|show) #(?P<tag2>[\\w/-]+)",
            "list",
        ),
        lambda match, _: ListTasks(match["tag"] or match["tag2"]),
    ),
    (
        _said(
            "(summari[sz]e|summary|sum up|recap)\\b(?P<rest>.{0,80}?)",
            "what('s| is| has| have)?( i| we)? (happened|changed|done|been done)\\b(?P<rest2>.{0,80}?)",
            "what did (i|we) (do|get done)\\b(?P<rest3>.{0,80}?)",
        ),
        _summarise,
    ),
    (_DONE, _mark("done")),
    (_IS_DONE, _mark("done")),
    (_BEGUN, _mark("doing")),
    (_said("(delete|remove) (?P<rest>.{1,500}?)"), lambda match, _: Delete(match["rest"])),
)
"""From the particular to the general: the first pattern whose words make sense counts."""
