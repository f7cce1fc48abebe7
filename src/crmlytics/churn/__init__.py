"""Who leaves, how sure that is, why, and what to do about it.

Score today's customers in one call with :func:`score_churn`, or fit a :class:`ChurnModel` on a ready table. Both carry
their evaluation, out of time beside random folds, against the rules that they have to beat. Choose the horizon by
:func:`horizon_table`. Sales teams work with the :func:`watchlist`, whose states are kept from run to run, and look back
on the :func:`lost_table`. For subscriptions see :func:`retention_curve_table` and :class:`DiscreteTimeHazardModel`.
"""
