"""The error of a setting that can't be used, for those who take it apart below `settings`."""


class SettingsError(ValueError):
    """A variable has a value that can't be used; the message names it and says what is expected."""
