"""The numbers of the paper are all there."""

from lawm_models.studies import paper


def test_every_column_of_every_data_set_has_a_number() -> None:
    table, columns = paper.table1(), [tuple(column) for column in paper.document()["columns"]]
    assert table.keys() == {(name, *column) for name in paper.datasets() for column in columns}
    assert all(0 <= found.mean <= 100 and found.std >= 0 for found in table.values())
    assert {labels for *_, labels in table} == {0.05, "all"}
    tasks = {name.partition("/")[0] for name in paper.datasets()}
    assert len(paper.datasets()) == len({*paper.datasets()}) == 4 * len(tasks)
