"""Partners: what dealers, affiliates and vendors sell, whom they bring, and what hangs on them.

:func:`partner_table` says what each sold and how sure its place is, :func:`partner_customer_table` what became of the
customers it brought, :func:`partner_credit_table` whose revenue it is where several had a part in it,
:func:`partner_dependence_table` and :func:`partner_concentration_table` what would be lost with one, and
:func:`quota_table` who will reach a quota.
"""

from crmlytics.partners._plots import (
    plot_partner_credit,
    plot_partner_customers,
    plot_partner_dependence,
    plot_partners,
    plot_quotas,
)
from crmlytics.partners.credit import partner_credit_table
from crmlytics.partners.customers import partner_customer_table
from crmlytics.partners.dependence import partner_concentration_table, partner_dependence_table
from crmlytics.partners.performance import partner_table
from crmlytics.partners.quotas import quota_table

__all__ = [
    "partner_concentration_table",
    "partner_credit_table",
    "partner_customer_table",
    "partner_dependence_table",
    "partner_table",
    "plot_partner_credit",
    "plot_partner_customers",
    "plot_partner_dependence",
    "plot_partners",
    "plot_quotas",
    "quota_table",
]
