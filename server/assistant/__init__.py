"""The assistant: who answers, and what makes an answer happen.

port            what an assistant is: a question and tools go in, pieces of text come out
runner          the producer: runs answers, ends and seals them, opens those that wait
voice           one answer on its way out: sent, joined, saved, noticed when silent
builtin         the rule-based assistant: understanding (text -> one of wishes), replies (how it is said)
planner, words  the plan of a day; how days, times and titles are worded
"""
