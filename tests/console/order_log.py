"""A small order log, written by hand."""

from typing import Final

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
