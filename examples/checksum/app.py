"""The checksum of a text, by a package whose fast half is C code that no index has a wheel of."""

import crcmod._crcfunext as native  # the C extension: without it crcmod falls back to Python, far slower
import crcmod.predefined


def handler(event, context):
    compute = crcmod.predefined.mkCrcFun(event.get("algorithm", "crc-32"))
    return {"checksum": f"{compute(event['text'].encode()):08x}", "native": native.__name__}
