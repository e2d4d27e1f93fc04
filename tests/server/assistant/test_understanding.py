"""What people write, and the wish in it. It is Sunday, 22 November 2026, 14:05 in Berlin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.assistant.understanding import understand
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

TODAY, TOMORROW, WEEK = "2026-11-22", "2026-11-23", "2026-11-29"

SAID: list[tuple[str, Wish]] = [
    ("add buy milk tomorrow #home", Add(("buy milk tomorrow #home",))),
    ("Add a task to buy milk", Add(("buy milk",))),
    ("add a lamp to the room", Add(("a lamp to the room",))),
    ("please add buy milk to my list", Add(("buy milk",))),
    ("@assistant add buy milk", Add(("buy milk",))),
    ("could you please add buy milk?", Add(("buy milk",))),
    ("hey, add buy milk", Add(("buy milk",))),
    ("todo: buy milk", Add(("buy milk",))),
    ("new task: buy milk", Add(("buy milk",))),
    ("create a new task called call Bob", Add(("call Bob",))),
    ("I need to call Bob at 9", Add(("call Bob at 9",))),
    ("remember to buy milk", Add(("buy milk",))),
    ("remind me to call Bob tomorrow 17:00", Add(("call Bob tomorrow 17:00",), reminding=True)),
    ("add:\n- buy milk\n- [ ] call Bob friday\n\n3. rest", Add(("buy milk", "call Bob friday", "rest"))),
    ("add these tasks:\nbuy milk\ncall Bob", Add(("buy milk", "call Bob"))),
    ("add buy milk\nadd call Bob", Add(("buy milk", "call Bob"))),
    ("done buy milk", Mark(("buy milk",), "done")),
    ("complete “buy milk”", Mark(("buy milk",), "done")),
    ("I finished the report", Mark(("the report",), "done")),
    ("i'm done with milk", Mark(("milk",), "done")),
    ("mark buy milk as done", Mark(("buy milk",), "done")),
    ("the report is done.", Mark(("the report",), "done")),
    ("done milk\ndone report", Mark(("milk", "report"), "done")),
    ("start the report", Mark(("the report",), "doing")),
    ("I'm working on the report", Mark(("the report",), "doing")),
    ("delete buy milk", Delete("buy milk")),
    ("plan my day", PlanDay(TODAY)),
    ("Plan my day!", PlanDay(TODAY)),
    ("plan my day please", PlanDay(TODAY)),
    ("Please plan my day, thanks!", PlanDay(TODAY)),
    ("can you plan my day for me, please?", PlanDay(TODAY)),
    ("I'd like you to plan my day", PlanDay(TODAY)),
    ("would you kindly plan my day", PlanDay(TODAY)),
    ("let's plan my day again", PlanDay(TODAY)),
    ("make a plan for me please", PlanDay(TODAY)),
    ("plan tomorrow please.", PlanDay(TOMORROW)),
    ("summarise please", Summarise(TODAY, TODAY)),
    ("add buy milk tomorrow, please", Add(("buy milk tomorrow",))),
    ("add say please to bob", Add(("say please to bob",))),
    ("plan", PlanDay(TODAY)),
    ("can you plan today?", PlanDay(TODAY)),
    ("plan tomorrow", PlanDay(TOMORROW)),
    ("plan my day tomorrow", PlanDay(TOMORROW)),
    ("plan the day after tomorrow", PlanDay("2026-11-24")),
    ("make a plan for friday", PlanDay("2026-11-27")),
    ("what should I do next?", WhatNext()),
    ("what's next?", WhatNext()),
    ("what is due", WhatIsDue(TODAY, WEEK, late=True)),
    ("what's due today?", WhatIsDue(TODAY, TODAY, late=True)),
    ("what is due tomorrow", WhatIsDue(TOMORROW, TOMORROW, late=False)),
    ("anything due this week?", WhatIsDue(TODAY, TODAY, late=True)),
    ("what is due next week", WhatIsDue(TOMORROW, WEEK, late=False)),
    ("what is due on friday?", WhatIsDue("2026-11-27", "2026-11-27", late=False)),
    ("what do I have tomorrow?", WhatIsDue(TOMORROW, TOMORROW, late=False)),
    ("what is late?", WhatIsLate()),
    ("overdue", WhatIsLate()),
    ("list", ListTasks()),
    ("list my tasks", ListTasks()),
    ("what are my tasks?", ListTasks()),
    ("show me all open tasks", ListTasks()),
    ("list tasks tagged #home", ListTasks("home")),
    ("show #home", ListTasks("home")),
    ("remember that the key is under the mat", KeepInMind("the key is under the mat")),
    ("remember: Ana likes tea", KeepInMind("Ana likes tea")),
    ("what do you remember?", Recall("")),
    ("what do you know about the key?", Recall("the key")),
    ("do you remember the key", Recall("the key")),
    ("summarise", Summarise(TODAY, TODAY)),
    ("summarize the conversation", Summarise(TODAY, TODAY)),
    ("what happened today?", Summarise(TODAY, TODAY)),
    ("what happened yesterday?", Summarise("2026-11-21", "2026-11-21")),
    ("what changed since yesterday", Summarise("2026-11-21", TODAY)),
    ("recap of this week", Summarise("2026-11-16", TODAY)),
    ("hello!", Greet()),
    ("good morning", Greet()),
    ("thanks a lot", Thank()),
    ("who are you?", AskWho()),
    ("are you an AI?", AskWho()),
    ("help", AskHelp()),
    ("what can you do for me?", AskHelp()),
    ("?", AskHelp()),
    ("tasks for today", Unclear(looks_like_task=True)),
    ("hi there", Greet()),
    ("what is late? @assistant", WhatIsLate()),
    ("note: Ana likes tea", KeepInMind("Ana likes tea")),
    ("note taking is hard", Unclear()),
    ("don't forget to call Bob", Add(("call Bob",))),
    ("what is done today?", Summarise(TODAY, TODAY)),
    ("the weather is nice", Unclear()),
    ("buy milk tomorrow", Unclear(looks_like_task=True)),
    ("plan the wedding", Unclear()),
    ("", Unclear()),
]


@pytest.mark.parametrize(("text", "wish"), SAID)
def test_what_people_write(text: str, wish: Wish) -> None:
    """A sentence is understood as what it most likely wants."""
    assert understand(text, now="2026-11-22T13:05:00.000Z", zone="Europe/Berlin") == wish


PIECES = st.sampled_from([word for text, _ in SAID for word in text.split()])


@given(st.text(max_size=60) | st.lists(PIECES, max_size=10).map(" ".join))
def test_any_text_has_a_wish(text: str) -> None:
    """Never an exception, and what a wish names is not blank."""
    match understand(text, now="2026-11-22T13:05:00.000Z", zone="UTC"):
        case Add(lines=lines):
            assert lines
            assert all(line.strip() for line in lines)
        case Mark(names=names):
            assert names
            assert all(name.strip() for name in names)
        case KeepInMind(text=kept):
            assert kept.strip()
        case _:
            pass
