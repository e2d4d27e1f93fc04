"""Screens of the terminal client; each is shown frames and asks the app to do things."""
