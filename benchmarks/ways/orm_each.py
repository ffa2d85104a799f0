"""Row by row through an ORM: is it there? If not, create it. What was changed at the broker's is not seen."""

import harness
import orm


def main() -> None:
    """Measure one sync."""

    def sync() -> None:
        orm.make_table()
        for page in orm.pages():
            for row in page:
                if not orm.Transaction.objects.filter(pk=row["id"]).exists():
                    orm.Transaction.objects.create(**row)

    harness.measured(sync)


if __name__ == "__main__":
    main()
