import numpy as np
import pytest

from pyimagesearch.evaluation.metrics import evaluate, rank, ranking_scores


def test_scores_of_a_ranking_worked_by_hand():
    hits = np.array([True, False, True, False])
    p1, p2, p4, r1, r2, r4, average_precision = ranking_scores(hits, ks=(1, 2, 4))
    assert (p1, p2, p4) == (1, 1 / 2, 2 / 4)
    assert (r1, r2, r4) == (1 / 2, 1 / 2, 1)
    assert average_precision == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_precision_beyond_the_end_of_a_ranking_counts_what_there_is():
    precision, recall, _ = ranking_scores(np.array([True, False]), ks=(10,))
    assert (precision, recall) == (0.5, 1)


def test_a_perfect_ranking_scores_one_and_the_worst_scores_by_its_depth():
    assert ranking_scores(np.array([True, True, False]), ks=(2,)).tolist() == [1, 1, 1]
    assert ranking_scores(np.array([False, False, True]), ks=(2,)).tolist() == [0, 0, 1 / 3]


def test_rank_orders_by_distance_and_ties_by_column():
    distances = np.array([[3.0, 1.0, 2.0, 1.0]], np.float32)
    relevant = np.array([[False, True, False, False]])
    assert rank(distances, relevant).tolist() == [[True, False, False, False]]
    assert rank(distances, ~relevant).tolist() == [[False, True, True, True]]


def test_rank_treats_rounding_below_zero_as_zero():
    distances = np.array([[-1e-7, 5.0]], np.float32)
    assert rank(distances, np.array([[True, False]])).tolist() == [[True, False]]


def test_rank_agrees_with_a_stable_argsort(random):
    distances = random.random((7, 501), dtype=np.float32).round(2)
    relevant = random.random((7, 501)) < 0.2
    expected = np.take_along_axis(relevant, np.argsort(distances, axis=1, kind="stable"), axis=1)
    np.testing.assert_array_equal(rank(distances, relevant), expected)


def test_evaluate_averages_over_queries_that_have_something_relevant():
    gallery = np.array([[0.0], [1.0], [10.0]], np.float32)
    queries = np.array([[0.1], [9.0], [5.0]], np.float32)
    scores = evaluate(queries, np.array([7, 7, 99]), gallery, np.array([7, 8, 7]), ks=(1,))
    # Query 0 ranks 7, 8, 7: AP (1 + 2/3) / 2. Query 1 ranks 7, 8, 7 too. Nothing is labelled 99.
    assert scores == {"P@1": 1, "R@1": 0.5, "mAP": pytest.approx(5 / 6)}


def test_evaluate_by_cosine_ignores_length():
    gallery = np.array([[100.0, 1.0], [0.0, 1.0]], np.float32)
    query = np.array([[1.0, 0.0]], np.float32)
    labels = np.array([1, 2])
    assert evaluate(query, np.array([1]), gallery, labels, metric="cosine", ks=(1,))["P@1"] == 1
    assert evaluate(query, np.array([1]), gallery, labels, metric="euclidean", ks=(1,))["P@1"] == 0


def test_evaluate_in_many_blocks_agrees_with_one_query_at_a_time(random):
    gallery, labels = random.random((300, 5), dtype=np.float32), random.integers(0, 4, 300)
    queries, query_labels = random.random((150, 5), dtype=np.float32), random.integers(0, 4, 150)
    together = evaluate(queries, query_labels, gallery, labels)
    single = [
        evaluate(queries[i : i + 1], query_labels[i : i + 1], gallery, labels)["mAP"]
        for i in range(150)
    ]
    assert together["mAP"] == pytest.approx(np.mean(single))


def test_evaluate_says_so_when_nothing_is_relevant():
    codes = np.zeros((1, 2), np.float32)
    with pytest.raises(ValueError, match="nothing to measure"):
        evaluate(codes, np.array([1]), codes, np.array([2]))


def test_a_query_that_is_in_the_gallery_is_left_out_of_its_ranking():
    codes = np.array([[0.0], [1.0], [3.0]], np.float32)
    labels = np.array([7, 8, 7])
    scores = evaluate(codes, labels, codes, labels, ks=(1,), skip_own_row=True)
    # Row 0 ranks 8, 7: AP 1/2. Row 1 has nothing relevant. Row 2 ranks 8, 7: AP 1/2.
    assert scores == {"P@1": 0, "R@1": 0, "mAP": 0.5}


def test_what_has_no_label_is_relevant_to_nothing():
    codes = np.array([[0.0], [1.0]], np.float32)
    with pytest.raises(ValueError, match="nothing to measure"):
        evaluate(codes, np.array([-1, -1]), codes, np.array([-1, -1]))


def test_a_query_left_out_of_its_ranking_does_not_count_as_a_result():
    codes = np.arange(4, dtype=np.float32)[:, np.newaxis]
    labels = np.zeros(4, int)
    scores = evaluate(codes, labels, codes, labels, ks=(10,), skip_own_row=True)
    assert scores == {"P@10": 1, "R@10": 1, "mAP": 1}  # 3 of the 3 others


def test_a_query_beyond_the_gallery_loses_nothing_of_its_ranking():
    codes, labels = np.arange(4, dtype=np.float32)[:, np.newaxis], np.array([0, 1, 0, 1])
    scores = evaluate(codes, labels, codes[:2], labels[:2], ks=(10,), skip_own_row=True)
    # Rows 0 and 1 have nothing relevant but themselves; rows 2 and 3 find 1 of 2.
    assert scores["P@10"] == 1 / 2


def test_what_has_no_label_is_neither_a_right_nor_a_wrong_result():
    codes = np.array([[0.0], [0.1], [1.0], [2.0], [3.0]], np.float32)
    labels = np.array([7, -1, 7, -1, 8])
    scores = evaluate(codes, labels, codes, labels, ks=(1, 2), skip_own_row=True)
    # Without the unlabelled rows 1 and 3: row 0 ranks 7, 8; row 2 ranks 7, 8; row 4 finds no 8.
    assert scores == {"P@1": 1, "P@2": 0.5, "R@1": 1, "R@2": 1, "mAP": 1}
