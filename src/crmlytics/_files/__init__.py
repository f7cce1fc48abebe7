"""Files in, files out: tables as people keep them, read without harm to ids, written so that nothing is half there."""

from crmlytics._files.dates import ParsedDates, parse_dates
from crmlytics._files.numbers import ParsedNumbers, parse_numbers
from crmlytics._files.reading import ReadFile, read_file, read_table
from crmlytics._files.text import TextFormat, find_text_format
from crmlytics._files.writing import check_place, in_place_of, write_sheets, write_table

__all__ = [
    "ParsedDates",
    "ParsedNumbers",
    "ReadFile",
    "TextFormat",
    "check_place",
    "find_text_format",
    "in_place_of",
    "parse_dates",
    "parse_numbers",
    "read_file",
    "read_table",
    "write_sheets",
    "write_table",
]
