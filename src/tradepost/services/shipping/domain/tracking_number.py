"""Tracking numbers: `TP`, when they were made, chance, and a digit that tells a wrong one from a right one."""

from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: nothing that is read as another digit
PREFIX: Final = "TP"
CHANCE_BITS: Final = 34

_DIGITS: Final = 15  # 41 bits of milliseconds, until 2039, and the chance
_SHIFTS: Final = tuple(5 * place for place in reversed(range(_DIGITS)))
_VALUE: Final = {digit: value for value, digit in enumerate(ALPHABET)}
_DOUBLED: Final = {digit: 2 * value // 32 + 2 * value % 32 for digit, value in _VALUE.items()}
_READ_AS: Final = str.maketrans("OIL", "011", " -")


def tracking_number(milliseconds: int, chance: int) -> str:
    """A number of 18 characters; later ones sort after earlier ones. `milliseconds` since 1970, `chance` of
    `CHANCE_BITS` bits."""
    value = (milliseconds << CHANCE_BITS | chance) & (1 << 5 * _DIGITS) - 1
    digits = "".join([ALPHABET[value >> shift & 31] for shift in _SHIFTS])
    return PREFIX + digits + _check_digit(digits)


def read_tracking_number(text: str) -> str | None:
    """The number that somebody wrote as `text`, with spaces, hyphens or in lower case; None when it can't be one."""
    number = text.upper().translate(_READ_AS)
    digits, check = number[len(PREFIX) : -1], number[-1:]
    if not number.startswith(PREFIX) or len(digits) != _DIGITS or not set(digits) <= _VALUE.keys():
        return None
    return number if check == _check_digit(digits) else None


def _check_digit(digits: str) -> str:
    """Luhn's, modulo 32: finds every wrong digit, and all neighbours that changed places but `0` and `Z`."""
    total = sum([_DOUBLED[digit] for digit in digits[::-2]]) + sum([_VALUE[digit] for digit in digits[-2::-2]])
    return ALPHABET[-total % 32]
