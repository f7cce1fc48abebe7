"""What hierarchies promise: baskets hold what stands above their items, nothing trivial, nothing implied."""

from itertools import chain, combinations, product

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Products, Transactions
from crmlytics._kernels.itemset_tree import ItemsetTree
from crmlytics.affinity.explained import without_implied
from crmlytics.affinity.hierarchy import read_baskets_of
from crmlytics.affinity.itemsets import frequent_itemsets
from crmlytics.affinity.rules import association_rules
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame

BASKETS = {1: ["milk", "jam"], 2: ["yogurt", "jam"], 3: ["milk", "yogurt"], 4: ["rope"]}
ABOVE = {
    "product_id": ["milk", "yogurt", "jam", "rope"],
    "category": ["DAIRY", "DAIRY", "SPREADS", "TOOLS"],
    "department": ["FOOD", "FOOD", "FOOD", "HOME"],
}


def lines(baskets, **columns):
    pairs = [(order, item) for order, items in baskets.items() for item in items]
    return {"order_id": [order for order, _ in pairs], "product_id": [item for _, item in pairs], **columns}


def records(table):
    return [tuple(row.values()) for row in nw.from_native(table).lazy().collect().to_arrow().to_pylist()]


def counts(itemsets):
    return {tuple(row[0]): row[2] for row in records(itemsets.to_frame())}


def sides(rules):
    return {(tuple(row[0]), tuple(row[1])) for row in records(rules.to_frame(measures=["confidence"]))}


def numbered():
    sales = pd.DataFrame({"order_id": [1, 1, 2], "product_id": [10, 9, 10]})
    products = pd.DataFrame({"product_id": [9, 10], "category": ["TEA", "MILK"]})
    return association_rules(frequent_itemsets(sales, min_support=1, hierarchy=products))


# -- itemsets ------------------------------------------------------------------------------------------------------


def test_counted_by_hand_on_every_kind(frame, kind):
    sales = frame(lines(BASKETS))
    if kind == "pyspark":  # mined on the cluster, which knows no hierarchies
        with pytest.raises(SchemaError, match=r"hierarchy= is not handed to Spark.*toPandas\(\)"):
            frequent_itemsets(sales, min_support=2, hierarchy=frame(ABOVE))
        return
    found = frequent_itemsets(sales, min_support=2, hierarchy=frame(ABOVE))
    assert type(found.to_frame()) is type(sales)
    assert [(tuple(row[0]), row[2]) for row in records(found.to_frame())] == [
        (("category: DAIRY",), 3),
        (("department: FOOD",), 3),
        (("category: SPREADS",), 2),
        (("jam",), 2),
        (("milk",), 2),
        (("yogurt",), 2),
        (("category: DAIRY", "category: SPREADS"), 2),
        (("category: DAIRY", "jam"), 2),
    ]


def test_numbers_as_ids_become_text_and_parents_are_codes():
    sales = pd.DataFrame({"order_id": [1, 1, 2], "product_id": [10, 9, 10]})
    products = pd.DataFrame({"product_id": [9, 10], "category": [7, 7], "department": ["FOOD", "FOOD"]})
    found = frequent_itemsets(sales, min_support=1, hierarchy=products)
    assert counts(found) == {("10",): 2, ("9",): 1, ("10", "9"): 1, ("category: 7",): 2, ("department: FOOD",): 2}
    parents = {a: None if p < 0 else found.item_ids[p] for a, p in zip(found.item_ids, found.parents, strict=True)}
    assert parents == {
        "9": "category: 7", "10": "category: 7", "category: 7": "department: FOOD", "department: FOOD": None,
    }  # fmt: skip
    assert frequent_itemsets(sales, min_support=1).parents is None


def test_a_category_is_in_a_basket_from_which_one_of_two_was_returned():
    sales = pd.DataFrame({
        "order_id": [1, 1, 1, 2, 2], "product_id": ["milk", "yogurt", "milk", "milk", "milk"],
        "quantity": [1, 1, -1, 1, -1],
    })  # fmt: skip
    found = frequent_itemsets(sales, min_support=1, hierarchy=pd.DataFrame(ABOVE)[["product_id", "category"]])
    assert counts(found) == {("yogurt",): 1, ("category: DAIRY",): 1}
    assert found.basket_count == 1


def test_departments_above_categories():
    sales = pd.DataFrame({"order_id": [1, 1, 2], "category": ["DAIRY", "TOOLS", "DAIRY"]})
    found = frequent_itemsets(sales, min_support=1, item="category", hierarchy=pd.DataFrame(ABOVE))
    assert counts(found) == {
        ("DAIRY",): 2, ("department: FOOD",): 2, ("TOOLS",): 1, ("department: HOME",): 1, ("DAIRY", "TOOLS"): 1,
        ("DAIRY", "department: HOME"): 1, ("TOOLS", "department: FOOD"): 1,
        ("department: FOOD", "department: HOME"): 1,
    }  # fmt: skip


PRODUCTS = st.integers(0, 5)
LEVELS = st.tuples(st.sampled_from([None, "A", "B"]), st.sampled_from([None, "X"]))
bought = st.lists(st.sets(PRODUCTS, min_size=1, max_size=4), min_size=1, max_size=8)


def by_brute_force(baskets, above, least):
    """Count every set of items of all levels in which no item stands above another."""
    held = [set(map(str, basket)) | set(chain.from_iterable(above[item] for item in basket)) for basket in baskets]
    over = {str(item): set(names) for item, names in above.items()}
    for names in above.values():
        for place, name in enumerate(names):
            over[name] = over.get(name, set()) | set(names[place + 1 :])
    items = sorted(set().union(*held))
    found = {}
    for size in range(1, len(items) + 1):
        for group in combinations(items, size):
            count = sum(set(group) <= basket for basket in held)
            if count >= least and not any(a in over[b] for a in group for b in group if a != b):
                found[group] = count
        if not any(len(group) == size for group in found):
            break
    return found


@settings(max_examples=40)
@given(baskets=bought, levels=st.lists(LEVELS, min_size=6, max_size=6), least=st.integers(1, 3), data=st.data())
@pytest.mark.filterwarnings("ignore::crmlytics.exceptions.DataQualityWarning")
def test_equals_brute_force_and_reads_the_same_baskets_again(baskets, levels, least, data):
    departments = {}
    for category, department in levels:
        departments.setdefault(category, set()).add(department)
    above = {}
    for item, (category, department) in enumerate(levels):
        suffix = f" ({department})" if len(departments[category]) > 1 and department else ""
        names = [None if category is None else f"category: {category}{suffix}"]
        names += [None if department is None else f"department: {department}"]
        above[item] = [name for name in names if name]
    products = pd.DataFrame({"product_id": range(6), "category": [c for c, _ in levels]})
    products["department"] = pd.array([d for _, d in levels], dtype="string")
    products["category"] = products["category"].astype("string")
    sales = pd.DataFrame(lines(dict(enumerate(baskets))))
    shuffled = sales.iloc[data.draw(st.permutations(range(len(sales))))]
    found = frequent_itemsets(shuffled, min_support=least, hierarchy=products)
    assert counts(found) == by_brute_force(baskets, above, least)
    in_order = frequent_itemsets(sales, min_support=least, hierarchy=products)
    assert records(found.to_frame()) == records(in_order.to_frame())
    again = read_baskets_of(found, shuffled, caller="test")
    single = found.tree.parent < 0
    in_baskets = np.bincount(again.items, minlength=len(found.item_ids))
    assert dict(zip(found.tree.item[single], found.tree.count[single], strict=True)) == dict(enumerate(in_baskets))


def test_complete_journey_counts_baskets_with_any_product_of_a_category(shared_data):
    folder = shared_data / "complete_journey"
    sales = pd.read_parquet(folder / "transactions.parquet", columns=["household_id", "basket_id", "product_id"])
    products = pd.read_parquet(folder / "products.parquet")
    products["category"] = products["department"] + " / " + products["product_category"]
    tx = Transactions(sales, customer_id="household_id", order_id="basket_id")
    with pytest.warns(DataQualityWarning, match="items bought have nothing above them"):
        found = frequent_itemsets(
            tx, min_support=0.02, max_len=2, hierarchy=products[["product_id", "category", "department"]]
        )
    named = sales.merge(products[["product_id", "category", "department"]], on="product_id")
    for level in ("category", "department"):
        expected = named.groupby(level)["basket_id"].nunique()
        singles = {ids[0]: count for ids, count in counts(found).items() if len(ids) == 1}
        for name, count in expected[expected >= 0.02 * found.basket_count].items():
            assert singles[f"{level}: {name}"] == count
    pairs = [ids for ids in counts(found) if len(ids) == 2 and ids[1].startswith("department: ")]
    assert len(pairs) > 100
    assert not any(ids[0].startswith(f"category: {ids[1][12:]} / ") for ids in pairs)


# -- what is told and what is refused ------------------------------------------------------------------------------


def test_tells_how_many_items_stand_for_themselves():
    sales = pd.DataFrame(lines({**BASKETS, 5: ["nail", "jam"]}))
    products = pd.DataFrame(ABOVE)[["product_id", "category"]].replace({"TOOLS": None})
    with pytest.warns(DataQualityWarning, match=r"2 of 5 items bought have nothing above them .*\['nail', 'rope'\]"):
        found = frequent_itemsets(sales, min_support=1, hierarchy=products)
    assert counts(found)["rope",] == 1
    assert counts(found)["category: SPREADS", "nail"] == 1


def test_takes_a_category_in_two_departments_for_two_and_says_so():
    sales = pd.DataFrame(lines({1: ["chips", "kibble"]}))
    products = {"product_id": ["chips", "kibble"], "category": ["SNACKS"] * 2, "department": ["FOOD", "PETS"]}
    with pytest.warns(DataQualityWarning, match="1 categories are in more than one department, such as .*SNACKS"):
        found = frequent_itemsets(sales, min_support=1, max_len=1, hierarchy=pd.DataFrame(products))
    assert set(found.item_ids[found.parents >= 0]) == {
        "chips", "kibble", "category: SNACKS (FOOD)", "category: SNACKS (PETS)",
    }  # fmt: skip


def test_refuses_a_category_in_two_departments_where_it_is_the_item():
    sales = pd.DataFrame({"order_id": [1], "category": ["SNACKS"]})
    products = pd.DataFrame({"category": ["SNACKS"] * 2, "department": ["FOOD", "PETS"]})
    with pytest.raises(SchemaError, match=r"one department for each category, but \['SNACKS'\] has several"):
        frequent_itemsets(sales, min_support=1, item="category", hierarchy=products)


def test_refuses_two_categories_for_a_product_also_where_nobody_looked_before():
    products = make_frame({"product_id": ["milk", "milk"], "category": ["DAIRY", "DRINKS"]}, "polars-lazy")
    with pytest.raises(SchemaError, match=r"one category for each product_id, but \['milk'\] has several"):
        frequent_itemsets(pd.DataFrame(lines(BASKETS)), min_support=1, hierarchy=products)


@pytest.mark.parametrize("kind", ["closed", "maximal"])
def test_refuses_closed_and_maximal_sets(kind):
    with pytest.raises(SchemaError, match=rf"kind='{kind}' does not go with hierarchy=.*without_implied"):
        frequent_itemsets(pd.DataFrame(lines(BASKETS)), 1, kind=kind, hierarchy=pd.DataFrame(ABOVE))


def test_refuses_a_hierarchy_without_levels_or_with_other_ids():
    sales = pd.DataFrame(lines(BASKETS))
    with pytest.raises(MissingColumnsError, match=r"needs category or department above product_id, and Products has"):
        frequent_itemsets(sales, 1, hierarchy=Products(pd.DataFrame({"product_id": ["milk"]})))
    numbered = pd.DataFrame({"product_id": [1], "category": ["DAIRY"]})
    with pytest.raises(SchemaError, match="Int64 in Products"):
        frequent_itemsets(sales, 1, hierarchy=numbered)
    with pytest.raises(SchemaError, match=r"item must be one of \['product_id', 'category'\], got 'channel'"):
        frequent_itemsets(sales.assign(channel="web"), 1, item="channel", hierarchy=pd.DataFrame(ABOVE))


def test_refuses_a_product_that_has_the_name_of_a_category():
    products = pd.DataFrame({"product_id": ["milk", "category: DAIRY"], "category": ["DAIRY", "DAIRY"]})
    with pytest.raises(SchemaError, match=r"products are named like levels above them: \['category: DAIRY'\]"):
        frequent_itemsets(pd.DataFrame(lines(BASKETS)), 1, hierarchy=products)


# -- implied rules -------------------------------------------------------------------------------------------------

JACKETS, OUTERWEAR, CLOTHES, FOOTWEAR = range(4)
STANDS_ABOVE = np.array([[OUTERWEAR, CLOTHES], [CLOTHES, -1], [-1, -1], [-1, -1]], np.int32)


def clothes_rules_kept(with_footwear, ratio):
    """Return which of jackets, outerwear and clothes keep their rule to footwear."""
    from crmlytics._kernels.generalisation import unexpected
    from crmlytics._kernels.itemset_index import index_of
    from crmlytics._kernels.rules import Rules

    count = [100, 200, 500, 600, *with_footwear]
    item, parent = [JACKETS, OUTERWEAR, CLOTHES, FOOTWEAR, *[FOOTWEAR] * 3], [-1] * 4 + [JACKETS, OUTERWEAR, CLOTHES]
    tree = ItemsetTree(*(np.array(a, np.int32) for a in (item, parent, count)), item_total=4, basket_count=1000)
    rules = Rules(*(np.array(a, np.int32) for a in ([4, 5, 6], [0, 1, 2], [3, 3, 3])))
    return unexpected(tree, index_of(tree), rules, STANDS_ABOVE, ratio).tolist()


def test_the_example_of_srikant_and_agrawal():
    # clothes, outerwear, jackets as 5 : 2 : 1, their rules to footwear as 10 : 8 : 4. The rule on outerwear has twice
    # what is expected, exactly; that on jackets half of outerwear's, as it should.
    assert clothes_rules_kept([40, 80, 100], ratio=2.0) == [False, True, True]
    assert clothes_rules_kept([40, 80, 100], ratio=2.01) == [False, False, True]


def test_a_rule_is_compared_with_the_closest_rule_that_was_kept():
    # outerwear: 40 expected, 50 < 1.3 x 40. Jackets: 25 from outerwear, and 27 < 1.3 x 25; but 20 from clothes.
    assert clothes_rules_kept([27, 50, 100], ratio=1.3) == [True, False, True]
    # outerwear kept (60): jackets has 30 expected from it, though 20 from clothes
    assert clothes_rules_kept([27, 60, 100], ratio=1.3) == [False, True, True]


def test_a_rule_farther_up_does_not_count_where_a_closer_one_was_kept():
    from crmlytics._kernels.generalisation import unexpected
    from crmlytics._kernels.itemset_index import index_of
    from crmlytics._kernels.rules import Rules

    # jackets, outerwear, clothes, hat, footwear; each of the first three with hat; and these with footwear
    item, parent = [0, 1, 2, 3, 4, 3, 3, 3, 4, 4, 4], [-1, -1, -1, -1, -1, 0, 1, 2, 5, 6, 7]
    count = [100, 200, 500, 550, 600, 10, 10, 100, 6, 8, 50]
    tree = ItemsetTree(*(np.array(a, np.int32) for a in (item, parent, count)), item_total=5, basket_count=1000)
    rules = Rules(*(np.array(a, np.int32) for a in ([8, 9, 10], [5, 6, 7], [4, 4, 4])))
    above = np.vstack([STANDS_ABOVE, [[-1, -1]]]).astype(np.int32)
    # outerwear stays by its confidence, .8 where .5 is expected. Jackets: 6 baskets where outerwear lets expect 4, but
    # clothes 10, and a confidence of .6 where clothes let expect .5.
    assert unexpected(tree, index_of(tree), rules, above, 1.3).tolist() == [True, True, True]


def test_little_support_stays_where_the_confidence_surprises():
    # all that jackets are bought with is boots: fewer baskets than expected, but each time
    baskets = {k: ["hat", "boots"] for k in range(8)} | {8: ["jacket", "boots"]} | {k: ["hat"] for k in range(9, 20)}
    products = pd.DataFrame({"product_id": ["hat", "jacket", "boots"], "category": ["WEAR", "WEAR", "SHOES"]})
    rules = association_rules(frequent_itemsets(pd.DataFrame(lines(baskets)), 1, hierarchy=products))
    kept = sides(without_implied(rules, ratio=1.5))
    assert (("jacket",), ("category: SHOES",)) in kept
    assert (("hat",), ("category: SHOES",)) not in kept


def implied_by_definition(rules, item_counts, above, ratio):
    """Return the rules that stay, from the definition, on sets of ids: (antecedent, consequent) -> counts."""

    def raised(side):
        for choice in product(*[[item, *above.get(item, [])] for item in side]):
            yield dict(zip(side, choice, strict=True))

    def more_general(rule):
        for left, right in product(raised(rule[0]), raised(rule[1])):
            other = (tuple(sorted(set(left.values()))), tuple(sorted(set(right.values()))))
            whole = len(other[0]) == len(rule[0]) and len(other[1]) == len(rule[1])
            if other != rule and other in rules and whole:
                yield other, left | right

    def steps(choice):
        return [([item, *above.get(item, [])]).index(to) for item, to in sorted(choice.items())]

    stay = {}
    for rule in sorted(rules, key=lambda rule: sum(len(above.get(item, [])) for side in rule for item in side)):
        both, antecedent = rules[rule]
        candidates = [(other, choice) for other, choice in more_general(rule) if stay[other]]
        close = [
            (other, choice)
            for other, choice in candidates
            if not any(
                steps(there) != steps(choice) and all(a <= b for a, b in zip(steps(there), steps(choice), strict=True))
                for _, there in candidates
            )
        ]
        stay[rule] = True
        for other, choice in close:
            share = {item: item_counts[item] / item_counts[to] for item, to in choice.items()}
            expected = rules[other][0] * np.prod([share[item] for side in rule for item in side])
            confidence = rules[other][0] / rules[other][1] * np.prod([share[item] for item in rule[1]])
            nearly = ratio * (1 - 1e-12)
            stay[rule] &= bool(both >= nearly * expected or both / antecedent >= nearly * confidence)
    return {rule for rule, stays in stay.items() if stays}


CATEGORIES = ["A", "A", "A", "B", "B", "C"]
IN_DEPARTMENT = {"A": "X", "B": "X", "C": "Y"}


@settings(max_examples=40)
@given(baskets=bought, ratio=st.sampled_from([1.0, 1.1, 1.5, 2.0]), sizes=st.integers(1, 2))
def test_equals_the_definition(baskets, ratio, sizes):
    products = pd.DataFrame({"product_id": [f"p{n}" for n in range(6)], "category": CATEGORIES})
    products["department"] = products["category"].map(IN_DEPARTMENT)
    sales = pd.DataFrame(lines({n: [f"p{item}" for item in basket] for n, basket in enumerate(baskets)}))
    found = frequent_itemsets(sales, min_support=1, max_len=3, hierarchy=products)
    rules = association_rules(found, min_confidence=0.3, max_consequent_len=sizes)
    table = records(rules.to_frame(measures=["confidence"]))
    counted = {(tuple(row[0]), tuple(row[1])): (row[2], row[3]) for row in table}
    above = {f"category: {c}": [f"department: {d}"] for c, d in IN_DEPARTMENT.items()}
    above |= {f"p{n}": [f"category: {c}", f"department: {IN_DEPARTMENT[c]}"] for n, c in enumerate(CATEGORIES)}
    singles = {ids[0]: count for ids, count in counts(found).items() if len(ids) == 1}
    kept = without_implied(rules, ratio=ratio)
    assert sides(kept) == implied_by_definition(counted, singles, above, ratio)
    rows = list(zip(rules.antecedent, rules.consequent, strict=True))
    assert sorted(rows.index(row) for row in zip(kept.antecedent, kept.consequent, strict=True)) == [
        rows.index(row) for row in zip(kept.antecedent, kept.consequent, strict=True)
    ]


def test_numbers_find_the_items_that_a_hierarchy_made_text():
    rules = numbered()
    assert sides(rules.with_items(consequent=10)) == sides(rules.with_items(consequent="10")) != sides(rules)
    asked = association_rules(rules.itemsets, antecedent=[np.int64(9)], consequent=10)
    assert sides(asked) == {(("9",), ("10",))}
    with pytest.raises(SchemaError, match=r"consequent='11' is in no frequent itemset"):
        rules.with_items(consequent=11)


@pytest.mark.parametrize(
    "names", [{9: "Ceylon", 10: "Milk"}, {"9": "Ceylon", "10": "Milk"}, pd.Series(["Ceylon", "Milk"], [9, 10])]
)
def test_names_by_number_are_found_in_a_hierarchy(names):
    rules = numbered()
    read = rules.with_items(antecedent=9).with_items(consequent=10).to_frame(names=names)
    assert list(read["antecedent"][0]) == ["Ceylon"]
    assert list(read["consequent"][0]) == ["Milk"]


def test_refuses_a_table_of_rules():
    with pytest.raises(SchemaError, match=r"without_implied: expected a RuleSet, got DataFrame. Give the rules before"):
        without_implied(numbered().to_frame())


def test_refuses_rules_without_a_hierarchy_and_a_ratio_below_one():
    rules = association_rules(frequent_itemsets(pd.DataFrame(lines(BASKETS)), 1))
    with pytest.raises(SchemaError, match=r"without a hierarchy.*frequent_itemsets\(.*hierarchy=products\)"):
        without_implied(rules)
    with pytest.raises(SchemaError, match=r"ratio must be at least 1, such as ratio=1\.1 .*got 0\.5"):
        without_implied(rules, ratio=0.5)
