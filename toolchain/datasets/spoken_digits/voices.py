"""Voices of espeak-ng that sound like people, in families of those that sound alike.

A variant of espeak-ng is a short text of formants, voicing and pitch, and many are edits of one another. Two belong to
one family if their names differ in a number alone, or if their log spectra (32 bands, 12 parts of a word, three
words) differ by less than 4.3 dB; families are closed under that. Half of all pairs of voices differ by more than
13.8 dB. What is held out is held out by family.

Left out: what sounds the same as another voice to 0.6 dB (`klatt6` as `adam`), `fast` (a test of speed), `Storm` and
`Mr serious` (tied to an accent, a blank in the name), and effects: robots, whispers, demons, tremolo.

Source: espeak-ng 1.52.0 as espeakng-loader 0.2 carries it, measured on "seven", "nine" and "vier".
"""

from __future__ import annotations

_FAMILIES = """
Mike Reed adam benjamin edward edward2 klatt klatt2 klatt3 klatt4 klatt5 mike2
Diogo Henrique Hugo michel miguel
iven iven2 iven3 iven4
RicishayMax RicishayMax2 RicishayMax3
steph steph2 steph3
Gene Gene2
croak grandpa
rob robert
"""
_ALONE = """
Alex Alicia Andrea Andy Annie Denis Jacky Lee Mario Michael Nguyen Tweaky anika announcer antonio aunty belinda boris
caleb david ed f1 f2 f3 f4 f5 grandma gustave ian john kaukovalta linda m1 m2 m3 m4 m5 m6 m7 m8 marcelo max norbert
pablo paul pedro quincy sandro shelby travis victor zac
"""
FAMILIES = tuple(tuple(line.split()) for line in _FAMILIES.split("\n") if line) + tuple((v,) for v in _ALONE.split())
ACCENTS = ("en-us", "en-us-nyc", "en", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-gb-x-rp", "en-029")
"""Of English: two American, five British (`en` is one), Caribbean. German has one."""
GERMAN = "de"
ENGLISH_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GERMAN_DIGITS = ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
LABEL_NAMES = ENGLISH_DIGITS + GERMAN_DIGITS
