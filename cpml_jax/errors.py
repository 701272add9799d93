"""The one exception that means: the user can mend this. main.py prints it as a single line and exits with 2."""


class UserError(Exception):
    """Bad input. The message is one line: what is wrong, where, and what to do about it."""
