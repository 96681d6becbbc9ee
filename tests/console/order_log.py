"""A small order log, written by hand, and one of two hundred invoices."""

import random
from collections.abc import Iterator
from typing import Final

INVOICES: Final = 200
CANCELLED: Final = 20

HEADER: Final = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
LOG: Final = (
    HEADER
    + """\
100,MUG,RED MUG,6,2010-12-01 08:26:00,2.50,17850.0,United Kingdom
100,MUG,RED MUG,4,2010-12-01 08:26:00,2.50,17850.0,United Kingdom
100,mug,other mug,1,2010-12-01 08:26:00,1.00,17850.0,United Kingdom
102,MUG,RED MUG,1,2010-12-01 09:00:00,2.10,,EIRE
101,TIN,"TIN, SMALL",10,2010-12-01 08:30:00,0.001,13047.0,France
C103,MUG,RED MUG,-10,2010-12-02 10:00:00,2.50,17850.0,United Kingdom
104,MUG,lost,-3,2010-12-02 11:00:00,0,,United Kingdom
105,MUG,RED MUG,5,2010-12-02 11:00:00,0,17850.0,United Kingdom
106,MUG,RED MUG,many,2010-12-02 11:00:00,2.50,17850.0,United Kingdom
C107,TIN,TIN,1,2010-12-02 11:00:00,2.50,17850.0,United Kingdom
108,MUG
"""
)


def invoices() -> Iterator[str]:
    """Orders of ten customers and of guests; some of the orders cancelled as a whole, an instant later."""
    dice = random.Random(7)
    yield HEADER
    for number in range(INVOICES - CANCELLED):
        customer = f"{dice.randrange(10)}.0" if number % 5 else ""
        at = f"2010-12-01 {8 + number // 60:02}:{number % 60:02}:00"
        for sku in dice.sample(range(12), 3):
            yield f"{number},SKU-{sku},THING {sku},{dice.randint(1, 6)},{at},{sku + 1}.50,{customer},France\n"
    for number in range(CANCELLED):
        yield f"C{number},SKU-{number % 12},THING,-1,2010-12-02 08:00:00,1.50,{number % 10}.0,France\n"
