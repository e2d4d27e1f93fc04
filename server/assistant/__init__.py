"""The assistant: who answers, and what makes an answer happen.

port            what an assistant is: a question and tools go in, pieces of text come out
runner          the producer: runs answers, sends and saves their text, ends and seals them
builtin         the rule-based assistant: understanding (what is wanted), replies (how it is said)
planner, words  the plan of a day; how days, times and titles are worded
"""
