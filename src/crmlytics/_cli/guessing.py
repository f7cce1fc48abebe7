"""Guess what the columns of a file are, by name and kind, the way a person would."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = ("quantity", "unit_price", "amount", "cost", "list_price", "discount_amount")
_SAMPLE = 20_000
_CURRENCIES = ("€", "EUR", "EURO", "$", "USD", "US$", "£", "GBP", "¥", "CNY", "元", "CHF", "FR.", "?")
NAMES = {  # as people call them, without signs between words; the likeliest first
    "customer_id": "customerid customer customerno customernumber custid cust clientid client householdid household "
    "memberid member userid user accountid account buyerid buyer shopper cid kundennummer kundennr kundenid kunde "
    "kundin mandant idclient cliente clienteid 客户编号 客户id 客户 会员编号 会员号 会员 用户编号 用户id 用户 顾客",
    "order_id": "orderid orderno ordernumber order invoiceno invoiceid invoicenumber invoice basketid basket "
    "transactionid transactionno transaction receiptid receiptno receipt bonnummer bonnr bon bestellnummer bestellnr "
    "bestellung auftragsnummer auftrag rechnungsnummer rechnungsnr rechnung belegnummer beleg commande pedido factura "
    "订单编号 订单号 订单id 订单 单号 小票号",
    "timestamp": "timestamp datetime orderdate invoicedate transactiondate transactiontimestamp purchasedate "
    "purchasetime orderedat createdat date day time bestelldatum rechnungsdatum kaufdatum datum tag zeitpunkt fecha "
    "订单日期 下单时间 交易时间 购买日期 日期 时间",
    "product_id": "productid productno productcode product sku stockcode itemid itemno item articleid article "
    "artikelnummer artikelnr artikel produkt 商品编号 商品id 商品 产品编号 产品id 产品",
    "category": "category productcategory department productgroup kategorie warengruppe 类别 品类 类目",
    "quantity": "quantity qty units unitcount menge anzahl stückzahl stück cantidad 数量 件数",
    "unit_price": "unitprice priceperunit itemprice price einzelpreis stückpreis preis precio 单价 价格",
    "amount": "amount totalamount lineamount linetotal total revenue turnover salesvalue sales spend gesamtbetrag "
    "betrag umsatz summe gesamt dollarvalue salesamount netsales value warenwert wert montant importe "
    "金额 总额 销售额 实付金额 总价",
    "cost": "cost costs unitcost cogs kosten einstandspreis 成本",
    "list_price": "listprice rrp msrp listenpreis 原价",
    "discount_amount": "discountamount discount rabatt 折扣",
    "currency": "currency currencycode währung 币种 货币",
    "channel": "channel saleschannel kanal vertriebskanal 渠道",
    "partner_id": "partnerid partner resellerid reseller dealerid dealer händler 合作伙伴 经销商",
}


def guess_roles(frame: pd.DataFrame) -> dict[str, str]:
    """Find the likeliest column of each role, from its name and the kind of its values.

    Parameters
    ----------
    frame : pandas.DataFrame
        A file, as it was read.

    Returns
    -------
    dict of role to column
        In the order of the contract; a column has one role, and a role without a likely column is left out.

    Examples
    --------
    >>> import pandas as pd
    >>> guess_roles(pd.DataFrame({"Kunde": ["a"], "Bon-Nr": [7], "Betrag": [2.5], "Datum": ["24.12.2024"]}))
    {'customer_id': 'Kunde', 'order_id': 'Bon-Nr', 'timestamp': 'Datum', 'amount': 'Betrag'}
    """
    found: dict[str, str] = {}
    likely = [(_likeness(column, role), role, column) for role in NAMES for column in frame.columns]
    for likeness, role, column in sorted(likely, key=lambda item: -item[0]):
        if likeness and role not in found and column not in found.values() and _fits(frame[column], role):
            found[role] = column
    if "timestamp" not in found:
        free = [c for c in frame.columns if c not in found.values()]
        moments = [c for c in free if frame[c].dtype.kind == "M"] or [c for c in free if dates_in_text(frame[c])]
        found |= {"timestamp": moments[0]} if len(moments) == 1 else {}
    if not {"amount", "unit_price"} & set(found):
        free = [c for c in frame.columns if c not in found.values()]
        sums = [c for c in free if (unit_of(frame[c]) or "").upper() in _CURRENCIES]
        found |= {"amount": sums[0]} if len(sums) == 1 else {}
    if "unit_price" in found and "amount" not in found and "quantity" not in found:
        found["amount"] = found.pop("unit_price")  # a price without a quantity is that of the line
    return {role: found[role] for role in NAMES if role in found}


def _likeness(column: str, role: str) -> float:
    """Score a name: the role's own name, a usual name, a usual name within it; 0 for none."""
    plain = re.sub(r"[\W_]+", "", str(column).lower())
    names = [role.replace("_", ""), *NAMES[role].split()]
    if plain in names:
        return 100 - names.index(plain) / len(names)
    inside = [len(name) for name in names if len(name) >= 4 and (plain.startswith(name) or plain.endswith(name))]
    return 10 + 10 * max(inside) / len(plain) if inside else 0


def _fits(series: pd.Series, role: str) -> bool:
    """Tell whether the values can be what the role needs."""
    if role == "timestamp":
        return series.dtype.kind == "M" or reads_as_dates(series) is not None
    if role in _NUMBERS:
        return series.dtype.kind in "iuf" or _reads_as_numbers(series)
    whole = series.dtype.kind != "f" or bool((series.dropna() % 1 == 0).all())
    return whole and series.dtype.kind not in "Mb"


def reads_as_dates(series: pd.Series) -> str | None:
    """Return the format of dates in text, ``"?"`` if two are possible, None if they are no dates."""
    from crmlytics._files import parse_dates

    if series.dtype.kind in "Mfb":
        return None
    try:
        return parse_dates(series.dropna().drop_duplicates()).format
    except SchemaError as error:
        return "?" if "two ways" in str(error) else None


def dates_in_text(series: pd.Series) -> str | None:
    """Return what :func:`reads_as_dates` does, for a column of text; None for other columns."""
    return None if series.dtype.kind in "iufMb" else reads_as_dates(series.head(_SAMPLE))


def unit_of(series: pd.Series) -> str | None:
    """Return the unit of numbers in text, ``""`` without one, ``"?"`` if two readings are possible, None for words."""
    from crmlytics._files import parse_numbers

    if series.dtype.kind in "iufMb":
        return None
    try:
        return parse_numbers(series.head(_SAMPLE)).unit
    except SchemaError as error:
        return "?" if "two ways" in str(error) else None


def _reads_as_numbers(series: pd.Series) -> bool:
    return unit_of(series) is not None
