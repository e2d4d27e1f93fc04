"""Workflows: things with several steps that a crash may not do twice nor forget.

jobs         background work of producers: tasks kept by workspace, actions that are tried until they settle
daily_plan   daily_plan.start -> assistant.plan.generated -> daily_plan.complete
"""
