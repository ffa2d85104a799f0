"""dlt fed with Arrow tables, a page each, parsed by `pyarrow.json` with a schema; merged on the id."""

from collections.abc import Iterator

import dlt
import dlt_rest  # first: it sets dlt up
import harness
import pages
import pyarrow as pa
from dlt.sources.helpers import requests


def main() -> None:
    """Measure one sync."""
    task = harness.task()

    @dlt.resource(
        name="transactions",
        primary_key="id",
        write_disposition={"disposition": "merge", "strategy": dlt_rest.STRATEGY},
        columns=dlt_rest.columns(),
    )
    def transactions() -> Iterator[pa.Table]:
        number, count = 0, 1
        client = requests.Client()
        while number < count:
            answer = client.get(f"{task.api}{task.path}", params={**task.query, "page-offset": number})
            table, count = pages.page(answer.content)
            yield table
            number += 1

    dlt_rest.measure(task, transactions)


if __name__ == "__main__":
    main()
