"""What is planted in the universe, as numbers: everything that is drawn reads them here, and so does the truth."""

from __future__ import annotations

DAY_S = 86_400
YEAR_DAYS = 365.25
WEEK_DAYS = 7.0

# who the customers are: shares
SEGMENTS = {"budget": 0.4, "standard": 0.4, "premium": 0.2}
REGIONS = {"north": 0.4, "south": 0.35, "west": 0.25}
HOUSEHOLDS = {"single": 0.4, "couple": 0.25, "family": 0.35}
ACQUISITION = {"search_ad": 0.35, "social": 0.25, "referral": 0.25, "store": 0.15}  # of those who were no lead
SALES = "sales"  # how leads are acquired
MEAN_ACQUISITION_COST = {"search_ad": 18.0, "social": 12.0, "referral": 5.0, "store": 1.0, SALES: 60.0}
YOUNG_SHARE, YOUNG_BELOW, AGES = 0.4, 40, (18, 80)
CONSENT_SHARE = 0.85
DEAL_SEEKER_SHARE = {"budget": 0.35, "standard": 0.18, "premium": 0.18}
LEADS_PER_CUSTOMER = 0.2
JOINING_SHARE = 0.5  # of the days, in which customers who were no lead join

# how they order: logarithms are added up
WEEKLY_RATE, RATE_SHAPE = 0.12, 4.0  # mean (before effects) and shape of the gamma distributed rate of habit orders
SEASONALITY = 0.2
RATE_EFFECTS = {"segment": {"budget": 0.0, "standard": 0.2, "premium": 0.4}}
TYPE_RATE_EFFECTS = {"persuadable": -0.2, "sleeping dog": 0.3, "sure thing": 0.6, "lost cause": -0.5}
ORDER_AMOUNT, ORDER_SHAPE, SPEND_SHAPE = 30.0, 6.0, 8.0  # mean (before effects); shapes within and between customers
AMOUNT_EFFECTS = {
    "segment": {"budget": 0.0, "standard": 0.2, "premium": 0.6},
    "partner_id": {"PA01": 0.25, "PA02": 0.0, "PA03": 0.1, "PA04": -0.1, "PA05": 0.0, "PA06": -0.2},
}
PARTNERS = {"PA01": "north", "PA02": "north", "PA03": "south", "PA04": "south", "PA05": "west", "PA06": "west"}
FIRST_PARTNER_SHARE = {"budget": 0.4, "standard": 0.4, "premium": 0.7}  # the first of a region's two: not at random
DISCOUNT, DISCOUNTED_SHARE = 0.15, {False: 0.1, True: 0.6}  # of an order's price; of orders, by deal seeker
COST_SHARE, COST_SPREAD = 0.6, 0.2  # what goods cost as a share of the list price, evenly spread around it
LINES_PER_ORDER, PRODUCT_COUNT = 2.5, 60
CATEGORIES = ("coffee", "tea", "kitchen", "garden", "books", "toys")
WEB_SHARE = 0.55  # of orders no visit triggered; those are all placed on the web

# how they leave: logarithms of hazards are added up
YEARLY_HAZARD = 0.25
HAZARD_EFFECTS = {
    "segment": {"budget": 0.3, "standard": 0.0, "premium": -0.3},
    "acquisition_channel": {"search_ad": 0.0, "social": 0.35, "referral": -0.4, "store": 0.0, SALES: -0.2},
    "partner_id": {"PA01": 0.0, "PA02": 0.0, "PA03": 0.0, "PA04": 0.0, "PA05": 0.0, "PA06": 0.4},
}
DEAL_SEEKER_HAZARD, BAD_TICKET_HAZARD, MOST_BAD_TICKETS = 0.5, 0.7, 3
YEARLY_TICKETS, BAD_SHARE = 0.8, 0.35

# what visits to the web shop do
YEARLY_VISITS, VISIT_SHAPE = 8.0, 2.0
CHANNELS = ("direct", "email", "search_ad", "social")  # in the order of make_events
CHANNEL_SHARES = {False: (0.35, 0.2, 0.35, 0.1), True: (0.25, 0.1, 0.3, 0.35)}  # of visits, by young
VISIT_EFFECTS = {"direct": 0.0, "email": 0.06, "search_ad": 0.01, "social": 0.03}  # probability to trigger an order
CLICK_COSTS = {"direct": 0.0, "email": 0.01, "search_ad": 0.4, "social": 0.25}
TRIGGER_DAYS = (0.5, 2.0, 7.0)  # soonest, scale, latest: truncated exponential
PURCHASE_CHANNELS = {"direct": 0.6, "search_ad": 0.4}  # through which customers come who order anyway
MOBILE_SHARE = {False: 0.3, True: 0.65}  # by young

# what campaigns do
CAMPAIGNS = {
    "spring": {"control": 1 / 3, "discount": 1 / 3, "reminder": 1 / 3},
    "summer": {"control": 0.5, "email": 0.5},
    "autumn": {"control": 0.25, "discount": 0.25, "email": 0.25, "letter": 0.25},
}  # exact shares of those who take part
BEGINS = {"spring": 0.45, "summer": 0.65, "autumn": 0.85}  # of the days
LEAST_DAYS = 365  # then campaigns are far enough apart
MEMBER_DAYS, WINDOW_DAYS = 30, 30  # a customer so long before taking part; so long a contact works
TYPES = ("persuadable", "sleeping dog", "sure thing", "lost cause")
TYPE_SHARES = {  # probabilities to add up: everyone, and who is what; a lost cause is the rest
    "persuadable": {("", ""): 0.05, ("age", "below 40"): 0.25, ("household", "family"): 0.15},
    "sleeping dog": {("", ""): 0.03, ("segment and age", "premium, 40 and above"): 0.15},
    "sure thing": {("", ""): 0.15, ("segment", "premium"): 0.1},
}
UPLIFTS = {  # by arm: persuadable without and with a family, sleeping dog; on the probability of an order
    "discount": (0.10, 0.08, -0.03),
    "reminder": (0.06, 0.06, -0.04),
    "email": (0.10, 0.06, -0.04),
    "letter": (0.06, 0.14, -0.02),
}
ARM_DISCOUNT = {"discount": 0.1, "reminder": 0.0, "email": 0.0, "letter": 0.0}  # off all orders while it works
ARM_COSTS = {"discount": 0.05, "reminder": 0.05, "email": 0.05, "letter": 1.2}
ARM_CHANNELS = {"discount": "email", "reminder": "sms", "email": "email", "letter": "post"}
RESPONSE_DAYS = 7.0  # scale of the days from contact to the order it brings: truncated exponential
PULLED_SHARE = 0.3  # of orders a contact brings, that replace the next habit order of the thirty days after
OPT_OUTS = {"persuadable": 0.01, "sleeping dog": 0.15, "sure thing": 0.01, "lost cause": 0.03}  # to the last campaign
NAMED_SHARE = 0.5  # of those who would have ordered anyway and say that it was the campaign
