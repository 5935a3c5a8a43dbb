"""The records of a ZIP file as the reader and the writer share them (APPNOTE 6.3.10, section 4.3)."""

from __future__ import annotations

import struct

LOCAL_HEADER = struct.Struct("<4s5H3I2H")
"""4.3.7: signature, version, flags, method, time, date, CRC-32, compressed size, size, lengths of name and
extra."""
CENTRAL_HEADER = struct.Struct("<4s6H3I5H2I")
"""4.3.12: signature, made by, version, flags, method, time, date, CRC-32, compressed size, size, lengths of
name, extra and comment, disk, internal attributes, external attributes, offset of the local header."""
END_RECORD = struct.Struct("<4s4H2IH")
"""4.3.16: signature, this disk, directory's disk, entries here, entries, size and offset of the directory,
length of the comment."""
ZIP64_END_RECORD = struct.Struct("<4sQ2H2I4Q")
"""4.3.14: signature, size of the rest, made by, version, this disk, directory's disk, entries here, entries,
size and offset of the directory."""
ZIP64_LOCATOR = struct.Struct("<4sIQI")
"""4.3.15: signature, disk of the zip64 end record, its offset, number of disks."""

LOCAL_SIGNATURE = b"PK\x03\x04"
CENTRAL_SIGNATURE = b"PK\x01\x02"
END_SIGNATURE = b"PK\x05\x06"
ZIP64_END_SIGNATURE = b"PK\x06\x06"
ZIP64_LOCATOR_SIGNATURE = b"PK\x06\x07"
DESCRIPTOR_SIGNATURE = b"PK\x07\x08"

UNIX = 3
"""4.4.2.2: made by Unix, so the upper half of the external attributes is a Unix mode."""

DESCRIPTOR_FLAG = 0x0008
"""4.4.4, bit 3: CRC-32 and sizes follow the data."""
UTF8_FLAG = 0x0800
"""4.4.4, bit 11: the name is UTF-8."""

ZIP64_FIELD = 0x0001
"""4.5.3: extra field with 64-bit sizes and offset."""
UNICODE_PATH_FIELD = 0x7075
"""4.6.9: Info-ZIP's extra field with a second name for the entry."""

LIMIT_16 = 0xFFFF
LIMIT_32 = 0xFFFFFFFF
"""Largest values of the short fields; in a field that zip64 can widen they mean: look there."""
