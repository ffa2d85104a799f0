"""Bulk upsert through an ORM: Django's `bulk_create(update_conflicts=True)`, a page at a time, all columns."""

import harness
import orm


def main() -> None:
    """Measure one sync."""

    def sync() -> None:
        orm.make_table()
        model = orm.Transaction
        update = [field.name for field in model._meta.fields if field.name != "id"]
        for page in orm.pages():
            model.objects.bulk_create(
                [model(**row) for row in page],
                batch_size=1000,
                update_conflicts=True,
                unique_fields=["id"],
                update_fields=update,
            )

    harness.measured(sync)


if __name__ == "__main__":
    main()
